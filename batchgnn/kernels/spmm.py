"""Sparse-dense products. The caller owns every array; a kernel overwrites `out`, allocates nothing.

Each row of `out` is one thread's, summed in the order of its edges, so that the result does not
depend on the number of threads. Threads take shares of about equal work, because in-degrees of
real graphs follow a power law. Edges are taken in fours, which reads and writes the sum a quarter
as often, and rows are asked for AHEAD edges before they are read.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.half import widen
from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.rows import AHEAD, prefetch_address, prefetch_row, row_at, row_width

NUM_SHARES = 128

PER_EDGE, PER_ROW, UNWEIGHTED = 0, 1, 2
"What a weight belongs to: an edge, or its row of the CSR; or that all are 1."

NO_WEIGHTS = np.empty(0, np.float32)

WITHOUT, BESIDE, ADDED, ONTO = 0, 1, 2, 3
"""What becomes of a target's own row: nothing, a second half of the result, a term of the sum.
ONTO: the sum goes on from what `out` holds, and the own row is not read."""


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


@register_jitable
def _weight_of(weight, per, e, row):
    if per == PER_EDGE:
        return weight[e]
    return weight[row] if per == PER_ROW else np.float32(1)


@register_jitable
def look_ahead(x, indices, begin, last, end):
    """Ask for what the edges AHEAD of begin ... last - 1 will read; `end` ends the share."""
    for e in range(begin + 2 * AHEAD, min(last + 2 * AHEAD, end)):
        prefetch_address(x, indices[e])
    for e in range(begin + AHEAD, min(last + AHEAD, end)):
        prefetch_row(x, indices[e])


@register_jitable
def _sum_edges(v, begin, end, indices, weight, per, x, target):
    """target += sum over edges begin ... end - 1 of row v: weight times the first columns of x."""
    e = begin
    while e + 4 <= end:
        a, b, c, d = indices[e], indices[e + 1], indices[e + 2], indices[e + 3]
        row_a, row_b, row_c, row_d = row_at(x, a), row_at(x, b), row_at(x, c), row_at(x, d)
        w_a, w_b = _weight_of(weight, per, e, v), _weight_of(weight, per, e + 1, v)
        w_c, w_d = _weight_of(weight, per, e + 2, v), _weight_of(weight, per, e + 3, v)
        for j in range(len(target)):
            total = target[j] + w_a * widen(row_a[j], target)
            total += w_b * widen(row_b[j], target)
            total += w_c * widen(row_c[j], target)
            target[j] = total + w_d * widen(row_d[j], target)
        e += 4
    while e < end:
        a = indices[e]
        row_a, w_a = row_at(x, a), _weight_of(weight, per, e, v)
        for j in range(len(target)):
            target[j] += w_a * widen(row_a[j], target)
        e += 1


@parallel_kernel(fastmath={"contract"})
def spmm(indptr, indices, weight, per, x, own, out):
    """out[v] = sum of w(e) x[indices[e]] over the edges e into v, and what `own` says of x[v].

    indptr   int64   (n + 1,)    edges into v are indptr[v] : indptr[v + 1]
    indices  int32   (m,)        source of each edge, a row of x; target v is source v
    weight   float32             w(e) = weight[e], weight[v] or 1:
    per      PER_EDGE, PER_ROW or UNWEIGHTED
    x        float32 or float64 (n_src, d), or Rows
    own      WITHOUT; BESIDE: out[v, d:] = x[v]; ADDED: out[v] += x[v]; ONTO: the
             first d columns of out are added to, and columns after them stay as they are
    out      float (n, d), BESIDE (n, 2 d)  overwritten, unless ONTO

    Reads a row of x an edge; no scratch; the same result for any number of threads.
    Eq. 2 of arXiv:1609.02907.
    """
    width = row_width(x)
    for share in prange(NUM_SHARES):
        first, last = share_begin(indptr, share), share_begin(indptr, share + 1)
        end = indptr[last]
        for v in range(first, last):
            look_ahead(x, indices, indptr[v], indptr[v + 1], end)
            if own in (BESIDE, ADDED) and v + 1 < last:
                prefetch_row(x, v + 1)
            target = out[v, :width]
            if own == ADDED:
                mine = row_at(x, v)
                for j in range(width):
                    target[j] = widen(mine[j], target)
            elif own != ONTO:
                for j in range(width):
                    target[j] = 0
            _sum_edges(v, indptr[v], indptr[v + 1], indices, weight, per, x, target)
            if own == BESIDE:
                mine = row_at(x, v)
                for j in range(width):
                    out[v, width + j] = widen(mine[j], target)


@parallel_kernel(fastmath={"contract"})
def spmm_adjoint(indptr, indices, weight, per, x, dy, own, out):
    """The adjoint of `spmm`, walked by source: out[u] = sum of w(e) x[indices[e]] + own part.

    indptr, indices   of the transposed CSR: edges out of u, target of each edge
    weight, per       as `spmm`, of the transposed CSR
    x    float (num_targets, d or more)  what is summed: columns 0 ... d - 1
    dy   float (num_targets, d), BESIDE (num_targets, 2 d)
    own  for sources u < num_targets: BESIDE: + dy[u, d:]; ADDED: + dy[u]
    out  float (n_src, d)  overwritten

    Where a weight belongs to a target, x is dy times the weights (`scale_rows`): to read weights at
    random, one for each edge, takes a fifth longer.
    """
    width = out.shape[1]
    for share in prange(NUM_SHARES):
        first, last = share_begin(indptr, share), share_begin(indptr, share + 1)
        end = indptr[last]
        for u in range(first, last):
            look_ahead(x, indices, indptr[u], indptr[u + 1], end)
            target = out[u]
            if u < len(dy) and own != WITHOUT:
                begin = width if own == BESIDE else 0
                for j in range(width):
                    target[j] = dy[u, begin + j]
            else:
                for j in range(width):
                    target[j] = 0
            _sum_edges(u, indptr[u], indptr[u + 1], indices, weight, per, x, target)


@parallel_kernel
def scale_rows(x, weight, out):
    """out[v] = weight[v] x[v, :d]: x (n, d or more), weight float32 (n,), out (n, d)."""
    for v in prange(len(out)):
        for j in range(out.shape[1]):
            out[v, j] = weight[v] * x[v, j]
