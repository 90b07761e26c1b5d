"""Rows of vertices that tell pairs which met from pairs that did not, by their inner product."""

import numpy as np

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.lanes import dot


@kernel(fastmath={"contract"})
def embed_pairs(source, target, other, rate, rows):
    """One pass of stochastic gradient descent, pair by pair, in their order.

    The loss of a pair is -log sigmoid(s . t) - log sigmoid(-s . o), of the rows of its source,
    target, and a vertex that it did not meet (arXiv:1503.03578, eq. 7, one negative, one table).

    source, target, other  int64 (k,)
    rate                   of the steps
    rows                   float32 (N, d)  updated
    """
    one, step = rows.dtype.type(1), rows.dtype.type(rate)
    for e in range(len(source)):
        s = rows[source[e]]
        for side in range(2):
            v = target[e] if side == 0 else other[e]
            if v == source[e]:
                continue
            t = rows[v]
            chance = one / (one + np.exp(-dot(s, t)))
            slope = step * ((one - chance) if side == 0 else -chance)
            for j in range(len(s)):
                was = s[j]
                s[j] += slope * t[j]
                t[j] += slope * was
