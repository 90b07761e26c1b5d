"""What each rank will hold, from the manifest alone: vertices dealt as `train` deals them."""

from dataclasses import dataclass

import numpy as np

from batchgnn.graph.assign import assign_shards
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True, eq=False)
class Shares:
    """A graph on P ranks, each with whole shards.

    rank_of_shard     int32 (K,)
    vertices, edges   int64 (P,)    in-edges
    far_edges         float64 (P,)  in-edges whose source another rank owns
    halo              float64 (P,)  distinct such sources
    talks_to          float         ranks that a rank exchanges rows with, on the average
    is_exact          whether far_edges and halo are counts, or estimated from those of the shards
    """

    rank_of_shard: np.ndarray
    vertices: np.ndarray
    edges: np.ndarray
    far_edges: np.ndarray
    halo: np.ndarray
    talks_to: float
    is_exact: bool

    @property
    def num_ranks(self) -> int:
        """P."""
        return len(self.vertices)

    @property
    def balance(self) -> float:
        """kappa: most edges of a rank over the mean."""
        return float(self.edges.max() / max(self.edges.mean(), 1))

    @property
    def halo_factor(self) -> float:
        """rho: halo rows of all ranks, by vertex of the graph."""
        return float(self.halo.sum() / max(self.vertices.sum(), 1))

    @property
    def cut(self) -> float:
        """Share of the edges whose ends are on two ranks."""
        return float(self.far_edges.sum() / max(self.edges.sum(), 1))


def share_graph(manifest: Manifest, num_ranks: int, path: object = None) -> Shares:
    """Shards on ranks, as `graph.assign` deals them; raises StoreError for too few shards.

    A rank of several shards does not fetch what its own shards have: of a shard's halo that share
    stays which its edges from other ranks are of those from other shards.
    """
    rank = assign_shards(manifest, num_ranks, path)

    def total(per_shard) -> np.ndarray:
        return np.bincount(rank, per_shard, num_ranks)

    shard = np.repeat(np.arange(manifest.num_shards), np.diff(manifest.quotient_indptr))
    other, arcs = manifest.quotient_indices, manifest.quotient_weight / 2
    apart = rank[shard] != rank[other]
    outside = np.bincount(shard, arcs, manifest.num_shards)
    far = np.bincount(shard[apart], arcs[apart], manifest.num_shards)
    stays = np.divide(far, outside, out=np.zeros(len(far)), where=outside > 0)
    halo = np.minimum(total(manifest.num_halo * stays), manifest.num_vertices)
    pairs = np.unique(rank[shard[apart]].astype(np.int64) * num_ranks + rank[other[apart]])
    vertices = total(manifest.shard_vertices).astype(np.int64)
    return Shares(
        rank,
        vertices,
        total(manifest.shard_edges).astype(np.int64),
        total(far),
        np.minimum(halo, manifest.num_vertices - vertices),
        len(pairs) / num_ranks,
        num_ranks in (1, manifest.num_shards),
    )


def share_rows(manifest: Manifest, num_ranks: int) -> Shares:
    """Vertices in equal numbers, as mode tensor deals them; edges and halo are nobody's."""
    vertices = np.diff(even_bounds(manifest.num_vertices, num_ranks))
    none = np.zeros(num_ranks)
    rank = np.zeros(manifest.num_shards, np.int32)
    return Shares(rank, vertices, none.astype(np.int64), none, none, num_ranks - 1.0, True)
