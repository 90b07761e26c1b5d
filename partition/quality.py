"""How good a cut is: edges cut, halo factor rho, balance kappa, and what each rank will hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.graph.assign import assign_shards, imbalance
from batchgnn.store.halo_cover import kept_rows
from batchgnn.store.shard_store import Manifest

Arcs = tuple[np.ndarray, np.ndarray, np.ndarray]
"int64 triplets: the target's shard, the source's shard, the number of arcs."


@dataclass(frozen=True)
class Quality:
    """Figures of a cut into K shards.

    edge_cut     edges whose ends lie in different shards; an undirected edge counts once
    halo_factor  rho = (sum over shards of the distinct in-neighbours that others own) / N
    balance      kappa = most in-arcs of a shard / mean in-arcs of a shard
    """

    edge_cut: int
    halo_factor: float
    balance: float


def quality(
    arcs: Arcs,
    num_halo: np.ndarray,
    shard_edges: np.ndarray,
    num_vertices: int,
    directed: bool,
) -> Quality:
    """Figures from the arcs between shards.

    num_halo     int64 (K,)  distinct in-neighbours of each shard that others own
    shard_edges  int64 (K,)  in-arcs of each shard
    """
    into, out_of, count = arcs
    cut = int(count[into != out_of].sum())
    total = int(shard_edges.sum())
    return Quality(
        edge_cut=cut if directed else cut // 2,
        halo_factor=float(num_halo.sum() / num_vertices),
        balance=float(shard_edges.max() * len(shard_edges) / total) if total else 1.0,
    )


def quotient_csr(arcs: Arcs, num_shards: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(indptr, indices, weight), int64: arcs between two shards, both directions added up."""
    from scipy.sparse import coo_array

    into, out_of, count = arcs
    between = into != out_of
    one_way = coo_array(
        (count[between], (into[between], out_of[between])), shape=(num_shards, num_shards)
    ).tocsr()
    both = (one_way + one_way.T).tocsr()
    both.sort_indices()
    return tuple(part.astype(np.int64) for part in (both.indptr, both.indices, both.data))


@dataclass(frozen=True)
class RankLoad:
    """What the fullest of `num_ranks` ranks will hold.

    imbalance   vertices plus arcs of the fullest rank over the mean
    own_bytes   files of its shards: mapped, shared by the ranks of a node through the page cache
    halo_bytes  feature rows of other ranks that it may need at once in a whole-graph mode (at
                most: a vertex in the halo of two of its shards counts twice)
    rho         rows that all ranks fetch for an aggregation, by vertex of the graph (likewise)
    cover_rho   the same of minimum covers, rows and sums, where a run kept them; else None
    """

    num_ranks: int
    imbalance: float
    own_bytes: int
    halo_bytes: int
    rho: float
    cover_rho: float | None


def shard_bytes(manifest: Manifest) -> np.ndarray:
    """int64 (K,): bytes of each shard's datasets; out-arcs are taken to be as many as in-arcs."""
    sizes = []
    for s, (n, m) in enumerate(zip(manifest.shard_vertices, manifest.shard_edges, strict=True)):
        run = manifest.event_run(s)
        counts = int(n), int(m), int(m), run.stop - run.start
        layout = manifest.layout(*counts, manifest.held_out(s))
        sizes.append(sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in layout.values()))
    return np.array(sizes, np.int64)


def rank_loads(manifest: Manifest, shards: Path) -> list[RankLoad]:
    """Predictions for 1, 2, 4, 8 ... ranks, as many as the store in `shards` can serve."""
    load = manifest.shard_vertices + manifest.shard_edges
    row_bytes = manifest.num_features * manifest.feature_dtype.itemsize
    own = shard_bytes(manifest)
    loads, num_ranks = [], 1
    while num_ranks <= manifest.num_shards:
        rank = assign_shards(manifest, num_ranks)
        vertices = np.bincount(rank, manifest.shard_vertices, num_ranks)
        halo = np.bincount(rank, manifest.num_halo, num_ranks)
        halo = np.minimum(halo, manifest.num_vertices - vertices)
        kept = kept_rows(shards, manifest, rank)
        loads.append(
            RankLoad(
                num_ranks,
                imbalance(load, rank, num_ranks),
                int(np.bincount(rank, own, num_ranks).max()),
                int(halo.max() * row_bytes),
                float(halo.sum() * (num_ranks > 1) / manifest.num_vertices),
                None if kept is None else float(kept.sum() / manifest.num_vertices),
            )
        )
        num_ranks *= 2
    return loads
