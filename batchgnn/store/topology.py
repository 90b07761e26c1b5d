"""The in-edges of the whole graph in one place, as the sampler of a rank reads them."""

from collections.abc import Iterable

import numpy as np

from batchgnn.store.own_shards import Column, gcn_norms
from batchgnn.store.shard_store import Manifest, ShardStore


def topology_layout(
    manifest: Manifest, *, gcn: bool
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Name: dtype and shape of the arrays that `fill_topology` fills; weights and norms for gcn."""
    num_vertices, num_edges = manifest.num_vertices, int(manifest.shard_edges.sum())
    layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        "indptr": (np.dtype(np.int64), (num_vertices + 1,)),
        "indices": (manifest.id_dtype, (num_edges,)),
    }
    if gcn:
        layout["norm"] = (np.dtype(np.float32), (num_vertices,))
        if manifest.weighted:
            layout["weight"] = (np.dtype(np.float32), (num_edges,))
            layout["loop"] = (np.dtype(np.float32), (num_vertices,))
    return layout


def fill_topology(arrays: dict[str, np.ndarray], store: ShardStore, shards: Iterable[int]) -> None:
    """Write what some of the shards hold into the arrays of the whole graph; the files are read.

    Raises StoreError when a shard cannot be read.
    """
    offset = store.manifest.offset
    first_edge = np.concatenate([[0], np.cumsum(store.manifest.shard_edges)])
    for s in shards:
        shard = store.shard(s)
        rows = slice(offset[s], offset[s + 1])
        edges = slice(first_edge[s], first_edge[s + 1])
        arrays["indptr"][rows.start : rows.stop + 1] = shard.in_indptr + first_edge[s]
        arrays["indices"][edges] = shard.in_indices
        if "norm" in arrays:
            arrays["norm"][rows], loop = gcn_norms(shard)
        if "weight" in arrays:
            arrays["weight"][edges], arrays["loop"][rows] = shard.in_weight, loop


class WholeTopology:
    """The in-edges of all vertices under the names that `OwnShards` has for those of a rank.

    A vertex's row is its id.
    """

    def __init__(self, arrays: dict[str, np.ndarray]):
        """arrays: filled, as `topology_layout` describes them; they must outlive this."""
        self.in_indptr, self.in_indices = Column([arrays["indptr"]]), Column([arrays["indices"]])
        self.first_row = np.array([0, len(arrays["indptr"]) - 1])
        self.gcn_scale, self.gcn_loop = arrays.get("norm"), arrays.get("loop")
        self.in_weight = Column([arrays["weight"]]) if "weight" in arrays else None

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """int64 (n,): the row of each vertex."""
        return ids.astype(np.int64)
