"""Coarser and coarser graphs: clusters by label propagation, each contracted to a vertex."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.cluster import CHUNK, Arcs, grant_clusters, pair_up, propose_clusters
from batchgnn.kernels.contract import (
    count_coarse_arcs,
    fill_coarse_arcs,
    list_members,
    mark_heavy_arcs,
)
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.partition.cut_graph import CutGraph

PASSES, ROUNDS = 3, 16
"Passes of label propagation over all vertices, and rounds of a pass."
KEPT = 99
"Step of the draws of `heaviest`."
UNIT = np.empty(0, np.int32)
"Weights of arcs that each count once."
Told = Callable[[int], None]
"Is told how many vertices a round has gone through."


@dataclass(frozen=True, eq=False)
class Level:
    """A graph on the way from the finest to the coarsest.

    graph    weights are sums over the finest vertices of a vertex
    counts   integers (n, 1 + R): vertices, and seeds of each split, of the finest graph
    """

    graph: CutGraph
    counts: np.ndarray

    @property
    def arcs(self) -> Arcs:
        """As kernels take it."""
        graph = self.graph
        between = UNIT if graph.between is None else graph.between
        return Arcs(graph.indptr, graph.indices, between, graph.weight)


def rounds(num_vertices: int, seed: int, level: int, step: int) -> Iterator[np.ndarray]:
    """int64 (c,) ascending: the chunks of each round, dealt by a keyed draw."""
    chunks = np.arange(-(-num_vertices // CHUNK))
    draws = np.empty(len(chunks), np.uint64)
    fill_draws(key_of(seed, level, step), chunks, draws)
    for turn in range(ROUNDS):
        mine = np.flatnonzero(draws % np.uint64(ROUNDS) == turn)
        if len(mine):
            yield mine


def key_of(seed: int, level: int, step: int) -> np.uint64:
    """Of the draws of one pass."""
    return np.uint64(stream_key(seed, Purpose.PARTITION, 1, step, level))


def clusters(level: Level, most: int, seed: int, depth: int, tell: Told) -> np.ndarray:
    """int32 (n,): a cluster for each vertex, numbered from 0; -1 where it has no arcs.

    most: weight of a cluster, above that of a vertex that has more alone
    """
    arcs, n = level.arcs, level.graph.num_vertices
    label, load = np.arange(n, dtype=np.int32), arcs.weight.astype(np.int64)
    for step in range(PASSES):
        for chunks in rounds(n, seed, depth, step):
            target = np.empty((len(chunks), CHUNK), np.int32)
            propose_clusters(key_of(seed, depth, step), chunks, arcs, label, load, most, target)
            grant_clusters(chunks, target, arcs.weight, most, label, load)
            tell(min(len(chunks) * CHUNK, n))
    _pair_up_singletons(arcs, most, key_of(seed, depth, PASSES), label, load)
    label[np.diff(arcs.indptr) == 0] = -1
    return _numbered(label)


def _pair_up_singletons(
    arcs: Arcs, most: int, key: np.uint64, label: np.ndarray, load: np.ndarray
) -> None:
    """What no cluster had room for joins its like, that wanted into the same."""
    n = len(label)
    alone = np.bincount(label, minlength=n)[label] == 1
    favourite = np.full(n, -1, np.int32)
    free = np.zeros(n, np.int64)  # as if there were room everywhere
    for first in range(0, -(-n // CHUNK), ROUNDS):
        chunks = np.arange(first, min(first + ROUNDS, -(-n // CHUNK)))
        target = np.empty((len(chunks), CHUNK), np.int32)
        propose_clusters(key, chunks, arcs, label, free, np.iinfo(np.int64).max, target)
        rows = slice(first * CHUNK, min((first + ROUNDS) * CHUNK, n))
        wanted = target.ravel()[: rows.stop - rows.start]
        favourite[rows] = np.where(alone[rows] & (wanted != label[rows]), wanted, -1)
    pair_up(favourite, arcs.weight, most, label, load, np.full(n, -1, np.int32))


def _numbered(label: np.ndarray) -> np.ndarray:
    """Labels as 0, 1, 2 ... in their order; -1 stays."""
    number = np.full(len(label) + 1, -1, np.int32)  # the last is that of -1
    used = np.zeros(len(label) + 1, bool)
    used[label] = True
    used[-1] = False
    number[used] = np.arange(used.sum(), dtype=np.int32)
    return number[label]


def contract(level: Level, cluster: np.ndarray) -> Level:
    """The graph of the clusters; vertices of cluster -1 are left out."""
    arcs, num_clusters = level.arcs, int(cluster.max(initial=-1)) + 1
    members = np.empty(num_clusters + 1, np.int64), np.empty(len(cluster), np.int32)
    list_members(cluster, *members)
    indptr = np.zeros(num_clusters + 1, np.int64)
    count_coarse_arcs(arcs, members, cluster, indptr[1:])
    np.cumsum(indptr, out=indptr)
    indices, between = np.empty((2, indptr[-1]), np.int32)
    fill_coarse_arcs(arcs, members, cluster, indptr, indices, between)
    inside = cluster >= 0
    sums = [
        np.bincount(cluster[inside], column[inside], num_clusters).astype(np.int32)
        for column in (arcs.weight, *level.counts.T)
    ]
    graph = CutGraph(indptr, indices, sums[0], between)
    return Level(graph, np.stack(sums[1:], axis=1))


def heaviest(graph: CutGraph, most: int, seed: int) -> CutGraph:
    """The graph with about `most` arcs, the heaviest; of those of equal weight some are drawn."""
    between, m = graph.between, len(graph.indices)
    if between is None or m <= most:
        return graph
    least = int(np.partition(between, m - most)[m - most])
    heavier, equal = int((between > least).sum()), int((between == least).sum())
    kept, count = np.empty(m, bool), np.empty(graph.num_vertices, np.int64)
    arcs, share = Level(graph, graph.weight).arcs, (most - heavier) / equal
    mark_heavy_arcs(key_of(seed, 0, KEPT), least, share, arcs, kept, count)
    indptr = np.concatenate([[0], np.cumsum(count)])
    return CutGraph(indptr, graph.indices[kept], graph.weight, between[kept])
