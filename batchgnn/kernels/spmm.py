"""Sparse-dense products. The caller owns every array; a kernel overwrites `out`, allocates nothing.

Each row of `out` is one thread's, summed in the order of its edges, so that the result does not
depend on the number of threads. Rows are dealt in shares of about equal work, because in-degrees
of real graphs follow a power law.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel

NUM_SHARES = 128


@register_jitable
def share_begin(indptr, share):
    """First row of a share of NUM_SHARES: rows and edges before it are about share / NUM_SHARES."""
    num_rows = len(indptr) - 1
    work = np.int64(share) * (indptr[num_rows] + num_rows) // NUM_SHARES
    low, high = 0, num_rows
    while low < high:
        middle = (low + high) // 2
        if indptr[middle] + middle < work:
            low = middle + 1
        else:
            high = middle
    return low


@parallel_kernel(fastmath={"contract"})
def spmm(indptr, indices, weight, x, out):
    """out[v] = sum of weight[e] * x[indices[e]] over the edges e into v.

    indptr   int64   (n + 1,)    edges into v are indptr[v] : indptr[v + 1]
    indices  int32   (m,)        source of each edge, a row of x
    weight   float32 (m,)
    x        float32 or float64 (n_src, d)
    out      as x    (n, d)      overwritten

    O(m d) time, no scratch, the same result for any number of threads. Eq. 2 of arXiv:1609.02907.
    """
    width = out.shape[1]
    for share in prange(NUM_SHARES):
        for v in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            row = out[v]
            for j in range(width):
                row[j] = 0
            for e in range(indptr[v], indptr[v + 1]):
                source, w = x[indices[e]], weight[e]
                for j in range(width):
                    row[j] += w * source[j]


@parallel_kernel(fastmath={"contract"})
def spmm_rows(indptr, indices, scale, x, out):
    """out[v] = scale[v] * sum of x[indices[e]] over the edges e into v.

    scale float32 (n,); other arrays, time and determinism as `spmm`. The mean has 1 / degree.
    """
    width = out.shape[1]
    for share in prange(NUM_SHARES):
        for v in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            row = out[v]
            for j in range(width):
                row[j] = 0
            for e in range(indptr[v], indptr[v + 1]):
                source = x[indices[e]]
                for j in range(width):
                    row[j] += source[j]
            factor = scale[v]
            for j in range(width):
                row[j] *= factor


@parallel_kernel(fastmath={"contract"})
def spmm_columns(indptr, indices, scale, x, out):
    """out[u] = sum of scale[indices[e]] * x[indices[e]] over the edges e of u.

    On the transposed CSR this is the adjoint of `spmm_rows`. scale float32, one per row of x;
    other arrays, time and determinism as `spmm`.
    """
    width = out.shape[1]
    for share in prange(NUM_SHARES):
        for u in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            row = out[u]
            for j in range(width):
                row[j] = 0
            for e in range(indptr[u], indptr[u + 1]):
                source, w = x[indices[e]], scale[indices[e]]
                for j in range(width):
                    row[j] += w * source[j]
