"""The in-edges of own vertices as edges between rows: own rows first, then the fetched ones."""

import numpy as np
from numba import prange

from batchgnn.kernels.address import part_of
from batchgnn.kernels.jit import kernel, parallel_kernel


@parallel_kernel
def place_sources(ids, offset, base, rank_of_shard, me, num_own, remote, place, out):
    """out[e] = the row of vertex ids[e]: its own row, or num_own + place[its index in `remote`].

    ids     uint32/uint64 (m,)
    offset, base, rank_of_shard  of graph.ownership.Ownership; me: this rank
    remote  ids' dtype (h,)   all remote ids that occur in `ids`, ascending
    place   int64 (h,)        where the row of each is among the fetched ones
    out     int32 (m,)        overwritten
    """
    for e in prange(len(ids)):
        ident = np.int64(ids[e])
        shard = part_of(offset, ident)
        if rank_of_shard[shard] == me:
            out[e] = base[shard] + ident - offset[shard]
        else:
            low, high = 0, len(remote) - 1
            while low < high:
                middle = (low + high) // 2
                if remote[middle] < ids[e]:
                    low = middle + 1
                else:
                    high = middle
            out[e] = num_own + place[low]


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
