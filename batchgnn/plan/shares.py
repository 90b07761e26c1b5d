"""What each rank will hold, from the manifest alone: vertices dealt as `train` deals them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from batchgnn.graph.assign import assign_shards
from batchgnn.plan.halo import joined_halo
from batchgnn.store.halo_cover import kept_rows
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True, eq=False)
class Shares:
    """A graph in parts of whole shards, each of a rank, or of a group that slices columns.

    part_of_shard     int32 (K,)
    vertices, edges   int64 (parts,)    in-edges
    far_edges         float64 (parts,)  in-edges whose source is in another part
    halo              float64 (parts,)  distinct such sources
    talks_to          float             parts that a part exchanges rows with, on the average
    is_exact          whether far_edges and halo are counts, or estimated from those of the shards
    cover             int64 (parts,)    rows that come in by covers that a run kept; None: not known
    """

    part_of_shard: np.ndarray
    vertices: np.ndarray
    edges: np.ndarray
    far_edges: np.ndarray
    halo: np.ndarray
    talks_to: float
    is_exact: bool
    cover: np.ndarray | None = None

    @property
    def num_parts(self) -> int:
        """Parts of the graph."""
        return len(self.vertices)

    @property
    def balance(self) -> float:
        """kappa: most edges of a part over the mean."""
        return float(self.edges.max() / max(self.edges.mean(), 1))

    @property
    def halo_factor(self) -> float:
        """rho: halo rows of all parts, by vertex of the graph."""
        return float(self.halo.sum() / max(self.vertices.sum(), 1))

    @property
    def cover_factor(self) -> float | None:
        """rho of minimum covers, where they are known."""
        if self.cover is None:
            return None
        return float(self.cover.sum() / max(self.vertices.sum(), 1))

    @property
    def cut(self) -> float:
        """Share of the edges whose ends are in two parts."""
        return float(self.far_edges.sum() / max(self.edges.sum(), 1))


def share_graph(manifest: Manifest, num_parts: int, path: Path | None = None) -> Shares:
    """Shards on ranks, or on groups of ranks, as `graph.assign` deals them.

    Raises StoreError for too few shards. A part of several shards does not fetch what its own
    shards have: of a shard's halo that share stays which its edges from other parts are of those
    from other shards. What several of its shards read counts once, as `joined_halo` estimates.
    """
    shares = shares_of(manifest, assign_shards(manifest, num_parts, path), num_parts)
    if path is None or num_parts == 1:
        return shares
    return replace(shares, cover=kept_rows(path, manifest, shares.part_of_shard))


def shares_of(manifest: Manifest, rank: np.ndarray, num_parts: int) -> Shares:
    """Of shards that are dealt already: rank is integers (K,)."""

    def total(per_shard: np.ndarray) -> np.ndarray:
        return np.bincount(rank, per_shard, num_parts)

    shard = np.repeat(np.arange(manifest.num_shards), np.diff(manifest.quotient_indptr))
    other, arcs = manifest.quotient_indices, manifest.quotient_weight / 2
    apart = rank[shard] != rank[other]
    outside = np.bincount(shard, arcs, manifest.num_shards)
    far = np.bincount(shard[apart], arcs[apart], manifest.num_shards)
    stays = np.divide(far, outside, out=np.zeros(len(far)), where=outside > 0)
    vertices = total(manifest.shard_vertices).astype(np.int64)
    halo = manifest.num_halo * stays
    is_exact = num_parts in (1, manifest.num_shards)
    counted = np.empty(0, np.int64) if is_exact else manifest.degree_count[1]
    pairs = np.unique(rank[shard[apart]].astype(np.int64) * num_parts + rank[other[apart]])
    return Shares(
        rank,
        vertices,
        total(manifest.shard_edges).astype(np.int64),
        total(far),
        joined_halo(halo, rank, manifest.num_vertices - vertices, counted),
        len(pairs) / num_parts,
        is_exact,
    )
