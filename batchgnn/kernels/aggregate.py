"""The in-edges of own vertices as edges between rows: own rows first, then the fetched ones."""

import numpy as np
from numba import prange

from batchgnn.kernels.half import widen
from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.reach import count_below
from batchgnn.kernels.rows import AHEAD, prefetch_row, row_at
from batchgnn.kernels.spmm import BESIDE, NUM_SHARES


@parallel_kernel
def place_sources(ids, first_id, first_row, num_rows, marked, out):
    """out[e] = the row of vertex ids[e]: own rows first, in own order, then the fetched ones.

    ids      uint32/uint64 (m,)   sources of a shard that has num_rows vertices: ids first_id ...,
                                  own rows first_row ...
    marked   reach.Marked         rows of the sources outside of their shard
    out      int32 (m,)  overwritten
    """
    seen, before, row_of = marked
    for e in prange(len(ids)):
        place = np.int64(ids[e]) - first_id
        if place < 0 or place >= num_rows:
            out[e] = row_of[count_below(np.int64(ids[e]), seen, before)]
        else:
            out[e] = first_row + place


@kernel
def gcn_edges(first, indptr, rows, weight, norm, out_indptr, out_rows, out_weight):
    """GCN's weighted edges into the own rows first, first + 1, ...: itself, then all but loops.

    Of itself norm[v]^2, of another u norm[v] norm[u] weight; Eq. 2 of arXiv:1609.02907.

    indptr      int64 (n + 1,), rows int32 (m,)   sources of row first + v: rows[indptr[v] : ...]
    weight      float32 (m,); empty: all 1
    norm        float32   rsqrt(1 + weighted in-degree) of every row
    out_indptr  int64 (n + 1,), out_rows int32 (n + m,), out_weight float32 (n + m,)  overwritten
                up to the returned number of edges
    """
    count = 0
    out_indptr[0] = 0
    for v in range(len(indptr) - 1):
        out_rows[count] = first + v
        out_weight[count] = norm[first + v] * norm[first + v]
        count += 1
        for e in range(indptr[v], indptr[v + 1]):
            u = rows[e]
            if u != first + v:
                w = norm[first + v] * norm[u]
                out_weight[count] = w * weight[e] if len(weight) > 0 else w
                out_rows[count] = u
                count += 1
        out_indptr[v + 1] = count
    return count


@parallel_kernel
def put_rows(rows, at, added, out):
    """out[at[i], :d] = rows[i], or += rows[i]; halves are widened.

    rows   float32 (n, d), or Rows
    at     int64 (n,)   distinct
    added  whether to add
    out    float32 (num_targets, at least d)   changed in place
    """
    for i in prange(len(at)):
        if i + AHEAD < len(at):
            prefetch_row(rows, i + AHEAD)
        source, target = row_at(rows, i), out[at[i]]
        for j in range(len(source)):
            value = widen(source[j], target)
            target[j] = target[j] + value if added else value


@parallel_kernel
def join_rows(aggregated, x, own, out):
    """out[i] = aggregated[i] with x[i], as `own` says; halves are widened.

    aggregated, x  float32 (n, d), or Rows
    own            BESIDE: out[i] = [aggregated[i] | x[i]]; ADDED: their sum
    out            float32 (n, 2 d) or (n, d), overwritten

    Reads 2 n d numbers once; the result does not depend on the number of threads.
    """
    num_rows, width = len(out), out.shape[1] // (2 if own == BESIDE else 1)
    for share in prange(NUM_SHARES):
        end = num_rows * (share + 1) // NUM_SHARES
        for i in range(num_rows * share // NUM_SHARES, end):
            if i + AHEAD < end:
                prefetch_row(aggregated, i + AHEAD)
                prefetch_row(x, i + AHEAD)
            first, second, target = row_at(aggregated, i), row_at(x, i), out[i]
            if own == BESIDE:
                for j in range(width):
                    target[j] = widen(first[j], target)
                for j in range(width):
                    target[width + j] = widen(second[j], target)
            else:
                for j in range(width):
                    target[j] = widen(first[j], target) + widen(second[j], target)
