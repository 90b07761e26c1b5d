"""Passes over a shard's arcs for the partitioner: sums per row, halo, arcs between shards."""

import numpy as np

from batchgnn.kernels.address import part_of
from batchgnn.kernels.jit import kernel


@kernel
def row_sums(indptr, weight, out):
    """out[v] = sum of weight[indptr[v] : indptr[v + 1]], added up in float64.

    indptr int64 (n + 1,); weight float32 (m,); out float32 (n,) overwritten
    """
    for v in range(len(out)):
        total = 0.0
        for e in range(indptr[v], indptr[v + 1]):
            total += weight[e]
        out[v] = total


@kernel
def count_neighbor_shards(indices, s, offset, seen, arcs):
    """Count the arcs from every shard into shard s, and their distinct remote sources.

    indices  uint32/uint64 (m,)  sources of the in-arcs of shard s
    offset   int64 (K + 1,)      first id of each shard
    seen     int32 (N,)          scratch: no element equals s before; marked with s
    arcs     int64 (K,)          overwritten: arcs by the shard of their source
    Returns the number of distinct sources outside shard s. O(m log K).
    """
    arcs[:] = 0
    num_halo = 0
    for e in range(len(indices)):
        source = np.int64(indices[e])
        shard = part_of(offset, source)
        arcs[shard] += 1
        if shard != s and seen[source] != s:
            seen[source] = s
            num_halo += 1
    return num_halo
