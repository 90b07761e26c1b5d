"""What a walk over all edges in chunks of targets has to know before it starts."""

from typing import NamedTuple

import numpy as np
from numba import prange

from batchgnn.kernels.jit import kernel, parallel_kernel


class Run(NamedTuple):
    """The edges of consecutive vertices.

    first    id of the first vertex
    indptr   int64 (n + 1,)  edges of vertex first + i are indptr[i] : indptr[i + 1]; from 0
    indices  integers (m,)   ids at the edges' other ends; int32 where ids are below 2^31
    weight   float32 (m,), empty where the graph has none
    """

    first: int
    indptr: np.ndarray
    indices: np.ndarray
    weight: np.ndarray


@kernel
def first_chunks(run, chunk, out):
    """out[u] = min(out[u], chunk) for the sources u of a run of targets, and for the targets.

    out  int32 (N,)  changed in place
    """
    first, indptr, indices, _ = run
    for v in range(len(indptr) - 1):
        out[first + v] = min(out[first + v], chunk)
    for e in range(indptr[-1]):
        u = indices[e]
        if out[u] > chunk:
            out[u] = chunk


@parallel_kernel
def loop_weights(run, out):
    """out[v] = total weight of the edges from vertex first + v to itself.

    run  Run, all weights 1 where it has none; out float64 (n,), overwritten
    """
    first, indptr, indices, weight = run
    for v in prange(len(out)):
        total = 0.0
        for e in range(indptr[v], indptr[v + 1]):
            if indices[e] == first + v:
                total += weight[e] if len(weight) > 0 else 1.0
        out[v] = total
