"""Which shard, rank and row hold a vertex: bisection over the shards' first ids.

The offsets are small (one int64 per shard) and stay in the cache; each id costs log2(K) steps.
"""

import numpy as np
from numba import prange

from batchgnn.kernels.address import part_of
from batchgnn.kernels.jit import parallel_kernel


@parallel_kernel
def shards_of(ids, offset, out):
    """out[i] = the shard s with offset[s] <= ids[i] < offset[s + 1].

    ids     any integer dtype (n,), each below offset[K]
    offset  int64 (K + 1,)   ascending, offset[0] = 0
    out     int32 (n,)       overwritten
    """
    for i in prange(len(ids)):
        out[i] = part_of(offset, np.int64(ids[i]))


@parallel_kernel
def owners_of(ids, offset, rank_of_shard, out):
    """out[i] = the rank that holds ids[i]; int32 (n,), overwritten. rank_of_shard int32 (K,)."""
    for i in prange(len(ids)):
        out[i] = rank_of_shard[part_of(offset, np.int64(ids[i]))]


@parallel_kernel
def local_rows_of(ids, offset, base, out):
    """out[i] = base[s] + ids[i] - offset[s] for the shard s of ids[i].

    base  int64 (K,)  row of each shard's first vertex among all vertices of its rank
    out   int64 (n,)  overwritten
    """
    for i in prange(len(ids)):
        ident = np.int64(ids[i])
        shard = part_of(offset, ident)
        out[i] = base[shard] + ident - offset[shard]
