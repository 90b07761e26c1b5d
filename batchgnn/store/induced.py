"""Shards as if no edge led from one part of them to another: a graph that some ranks have alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from batchgnn.graph.ownership import Ownership
from batchgnn.store.shard_store import Manifest, Shard, ShardStore


class InducedShards(ShardStore):
    """A shard store with the edges and seeds of some shards alone, and all vertices' numbers."""

    def __init__(self, store: ShardStore, ownership: Ownership):
        """ownership: of the shards that are left; the others' rank is negative."""
        self.store, self.ownership = store, ownership
        self.path, self.whole = store.path, self
        self.manifest = induced_manifest(store.manifest, ownership.rank_of_shard >= 0)

    def shard(self, s: int) -> Shard:
        """Map shard s, and copy the edges that are left, if any are not.

        Raises StoreError as `ShardStore.shard`.
        """
        shard = self.store.shard(s)
        if (self.ownership.rank_of_shard >= 0).all():
            return shard
        inside = self.ownership.owner(shard.in_indices) >= 0
        indptr, indices = _left(shard.in_indptr, shard.in_indices, inside)
        found: dict[str, Any] = {"in_indptr": indptr, "in_indices": indices}
        found["degree_in"] = np.diff(indptr).astype(shard.degree_in.dtype)
        if shard.in_weight is not None:
            found["in_weight"] = weight = shard.in_weight[inside]
            row = np.repeat(np.arange(shard.num_vertices), np.diff(indptr))
            found["weighted_in"] = np.bincount(row, weight, minlength=shard.num_vertices)
        found["degree_out"] = found["degree_in"]
        if shard.out_indptr is not None and shard.out_indices is not None:
            found |= self._out(shard.out_indptr, shard.out_indices, shard)
        return replace(shard, **found)

    def _out(self, indptr: np.ndarray, indices: np.ndarray, shard: Shard) -> dict[str, np.ndarray]:
        """The edges out of a shard that are left, of a directed graph."""
        inside = self.ownership.owner(indices) >= 0
        indptr, indices = _left(indptr, indices, inside)
        found = {"out_indptr": indptr, "out_indices": indices}
        if shard.out_weight is not None:
            found["out_weight"] = shard.out_weight[inside]
        return found | {"degree_out": np.diff(indptr).astype(shard.degree_out.dtype)}


def _left(
    indptr: np.ndarray, indices: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """CSR without the edges that are not inside."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(inside)])
    return before[indptr - indptr[0]].astype(indptr.dtype), indices[inside]


def induced_manifest(manifest: Manifest, is_left: np.ndarray) -> Manifest:
    """The manifest with the seeds of some shards alone, and the arcs between these; bool (K,)."""
    row = np.repeat(np.arange(manifest.num_shards), np.diff(manifest.quotient_indptr))
    both = is_left[row] & is_left[manifest.quotient_indices]
    indptr, indices = _left(manifest.quotient_indptr, manifest.quotient_indices, both)
    return replace(
        manifest,
        num_seeds=manifest.num_seeds * is_left[:, None],
        quotient_indptr=indptr,
        quotient_indices=indices,
        quotient_weight=manifest.quotient_weight[both],
    )
