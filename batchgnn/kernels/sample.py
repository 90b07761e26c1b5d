"""Neighbour sampling without replacement, on the shards that hold the in-edges.

A draw depends on (stream key, vertex id, degree, fanout) alone, so that any rank, thread or order
gives the same neighbours. Two passes: `locate` finds where each list begins and how much of it is
drawn, `draw_neighbors` fills.
"""

import numpy as np

from batchgnn.kernels.address import array_at, part_of
from batchgnn.kernels.jit import kernel
from batchgnn.kernels.rng import below, draw

SMALL_FANOUT = 32


@kernel
def locate(rows, first_row, indptr_address, fanout, begin, degree, count):
    """Where the in-edges of own rows lie, and how many of them are drawn.

    rows            int64  (n,)     own rows of this rank, over its shards
    first_row       int64  (k + 1,) first own row of each of its k shards
    indptr_address  uint64 (k,)     each shard's in/indptr, int64
    fanout          int             edges kept per row; -1 = all
    begin, degree, count  int64 (n,) overwritten: position in the shard's in/indices,
                                    in-degree, number of edges drawn
    """
    for i in range(len(rows)):
        shard = part_of(first_row, rows[i])
        row = rows[i] - first_row[shard]
        indptr = array_at(indptr_address[shard], (row + 2,), begin)
        begin[i] = indptr[row]
        degree[i] = indptr[row + 1] - indptr[row]
        count[i] = degree[i] if fanout < 0 else min(degree[i], fanout)


@kernel
def choose(key, degree, count, out):
    """`count` distinct positions below `degree`, uniform among all such sets.

    Floyd's algorithm (CACM 30(9), 1987) for few, Knuth's selection sampling (TAOCP 3.4.2 S) for
    many: which of the two depends on `count` only. out int64, overwritten up to count.
    """
    if count == degree:
        for j in range(count):
            out[j] = j
    elif count <= SMALL_FANOUT:
        for j in range(count):
            top = degree - count + j
            position = below(draw(key, np.uint64(j)), top + 1)
            for i in range(j):
                if out[i] == position:
                    position = top
                    break
            out[j] = position
    else:
        taken = 0
        for position in range(degree):
            if below(draw(key, np.uint64(position)), degree - position) < count - taken:
                out[taken] = position
                taken += 1


@kernel
def draw_neighbors(
    keys, ids, rows, first_row, indices_address, begin, degree, count, positions, out, out_position
):
    """Global ids of the drawn in-neighbours of each row, one row after the other.

    keys      uint64 (n,)  stream key of each row's minibatch and hop
    ids       uint32/uint64 (n,)  global ids of the rows
    rows, first_row, begin, degree, count  as in `locate`
    positions int64 scratch, at least max(count)
    out       ids' dtype (sum of count,)   overwritten
    out_position  int64 (sum of count,) or (0,): place of each drawn edge in its shard's arrays
    """
    e = 0
    for i in range(len(rows)):
        shard = part_of(first_row, rows[i])
        source = array_at(indices_address[shard], (begin[i] + degree[i],), ids)
        choose(draw(keys[i], np.uint64(ids[i])), degree[i], count[i], positions)
        for j in range(count[i]):
            out[e] = source[begin[i] + positions[j]]
            if len(out_position) > 0:
                out_position[e] = begin[i] + positions[j]
            e += 1
