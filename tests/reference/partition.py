"""Sums of a shard, by NumPy."""

import numpy as np

from reference.ownership import shards_of


def row_sums(indptr, weight, out):
    for v in range(len(out)):
        out[v] = weight[indptr[v] : indptr[v + 1]].astype(np.float64).sum()


def count_neighbor_shards(indices, s, offset, seen, arcs):
    shard = np.empty(len(indices), np.int32)
    shards_of(indices, offset, shard)
    arcs[:] = np.bincount(shard, minlength=len(arcs))
    remote = np.unique(indices[shard != s])
    seen[remote] = s
    return len(remote)
