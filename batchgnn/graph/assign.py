"""Which rank takes which shards: decided at load, so that one store serves any number of ranks.

METIS cuts the small quotient graph; a shard weighs its vertices plus its arcs. The result depends
on the manifest and the number of ranks alone, so every rank computes it for itself.
"""

from typing import Protocol

import numpy as np

from batchgnn.base.errors import StoreError

IMBALANCE = 1.2
"METIS's answer is taken up to this load of the fullest rank over the mean, or 5 % above greedy's."
SCALE = 2**28
"Weights are scaled down to this sum: METIS counts in 32 bits."


class Quotient(Protocol):
    """What is needed of a `store.shard_store.Manifest`."""

    @property
    def name(self) -> str:
        """Of the graph, for the error."""

    @property
    def num_shards(self) -> int:
        """Shards, K."""

    @property
    def shard_vertices(self) -> np.ndarray:
        """int64 (K,)."""

    @property
    def shard_edges(self) -> np.ndarray:
        """int64 (K,): in-arcs."""

    @property
    def quotient_indptr(self) -> np.ndarray:
        """int64 (K + 1,)."""

    @property
    def quotient_indices(self) -> np.ndarray:
        """int64 (pairs,)."""

    @property
    def quotient_weight(self) -> np.ndarray:
        """int64 (pairs,): arcs between two shards."""


def assign_shards(manifest: Quotient, num_ranks: int, path: object = None) -> np.ndarray:
    """int32 (K,): the rank of each shard; every rank gets at least one.

    Ranks are numbered by their first shard. Raises StoreError, which names `path` (else
    the graph), when there are fewer shards than ranks.
    """
    num_shards = manifest.num_shards
    if num_ranks < 1:
        raise ValueError(f"{num_ranks} ranks: needed at least 1")
    if num_shards < num_ranks:
        raise StoreError(
            f"{path or manifest.name}: {num_shards} shards cannot serve {num_ranks} ranks. "
            f"Start at most {num_shards} ranks, or: "
            f"batchgnn partition GRAPH.h5 SHARDS --shards {num_ranks}"
        )
    load = (manifest.shard_vertices + manifest.shard_edges).astype(np.int64)
    greedy = heaviest_first(load, num_ranks)
    if num_ranks in (1, num_shards):
        return _by_first_shard(greedy)
    allowed = max(IMBALANCE, 1.05 * imbalance(load, greedy, num_ranks))
    for recursive in (True, False):
        cut = _metis(manifest, load, num_ranks, recursive)
        if len(np.unique(cut)) == num_ranks and imbalance(load, cut, num_ranks) <= allowed:
            return _by_first_shard(cut)
    return _by_first_shard(greedy)


def imbalance(load: np.ndarray, rank: np.ndarray, num_ranks: int) -> float:
    """Load of the fullest rank over the mean; 1 = even."""
    return float(np.bincount(rank, load, num_ranks).max() * num_ranks / max(load.sum(), 1))


def heaviest_first(load: np.ndarray, num_ranks: int) -> np.ndarray:
    """int32 (K,): heaviest shard first, each to the rank with the least load (Graham's LPT).

    An idle rank comes before one that has a shard, so that with K >= ranks none stays idle.
    """
    rank = np.empty(len(load), np.int32)
    total = [(0, 0, r) for r in range(num_ranks)]  # (number of shards > 0, load, rank)
    for s in np.argsort(-load, kind="stable"):
        _, least, r = min(total)
        rank[s] = r
        total[r] = (1, least + int(load[s]), r)
    return rank


def _metis(manifest: Quotient, load: np.ndarray, num_ranks: int, recursive: bool) -> np.ndarray:
    """METIS's assignment, int32 (K,); ranks may be idle."""
    import pymetis

    if not len(manifest.quotient_indices):
        return np.zeros(len(load), np.int32)
    _, parts = pymetis.part_graph(
        num_ranks,
        pymetis.CSRAdjacency(
            manifest.quotient_indptr.astype(np.int32), manifest.quotient_indices.astype(np.int32)
        ),
        vweights=_scaled(load),
        eweights=_scaled(manifest.quotient_weight),
        recursive=recursive,
        options=pymetis.Options(seed=0, ufactor=50),
    )
    return np.array(parts, np.int32)


def _scaled(weight: np.ndarray) -> np.ndarray:
    """int32, at least 1, in proportion, with a sum of about `SCALE` at most."""
    factor = min(1.0, SCALE / max(int(weight.sum()), 1))
    return np.maximum(weight * factor, 1).astype(np.int32)


def _by_first_shard(rank: np.ndarray) -> np.ndarray:
    """The same groups, numbered by their first shard."""
    _, first, group = np.unique(rank, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return number[group]
