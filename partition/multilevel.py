"""Multilevel cut with little memory: label propagation, METIS on the coarsest graph, refinement.

Clusters become the vertices of a coarser graph, until METIS has little to do. On the way back
vertices move between shards, within limits on load, vertices and seeds at once. Meyerhenke,
Sanders, Schulz, IEEE TPDS 28(9), 2017 (ParHIP). Vertices without edges are dealt at last.
"""

import numpy as np

from batchgnn.base.progress import progress
from batchgnn.kernels.cluster import CHUNK
from batchgnn.kernels.refine import Contents, grant_shards, propose_shards
from batchgnn.partition.cut_graph import CutGraph
from batchgnn.partition.levels import PASSES, Level, clusters, contract, heaviest, rounds
from batchgnn.partition.metis import fill_empty, metis_shards
from batchgnn.partition.plan import METIS_ARCS

COARSE_ARCS, COARSE_VERTICES = 4_000_000, 70_000
"METIS cuts the first graph with no more arcs, or from which a step could leave too few vertices."
STALLED = 0.9
"A step that leaves a larger share of the vertices is the last."
CLUSTERS_PER_SHARD = 14
"A cluster weighs at most the graph / (CLUSTERS_PER_SHARD K)."
REFINEMENTS = 3
EXCESS, LOAD_EXCESS = 0.05, 0.04
"""Vertices and seeds of a shard may lie this far above the mean, and load, of which the vertices
without edges bring a little more."""
WEIGHTS_IN_ALL = 2**31 - 1
"METIS adds weights up in 32 bits."


def multilevel_shards(
    graph: CutGraph, num_shards: int, seed: int, seeds: np.ndarray, *, show: bool = False
) -> np.ndarray:
    """int32 (N,): a shard for each vertex, with few edges between shards.

    seeds  uint8 (N, R): 1 = a training seed of that split; R may be 0
    show   whether progress is shown on stderr
    The same graph, number and seed give the same shards, with any number of threads. No shard is
    empty.
    """
    connected = np.diff(graph.indptr) > 0
    if num_shards == 1 or connected.sum() < num_shards:
        return metis_shards(graph, num_shards, seed)
    counts = np.column_stack([np.ones(graph.num_vertices, np.uint8), seeds])
    levels, maps = _coarsen(Level(graph, counts), connected, num_shards, seed, show)
    coarsest = heaviest(levels[-1].graph, METIS_ARCS, seed)
    shard = metis_shards(_in_32_bits(coarsest), num_shards, seed)
    limits = _limits(levels[0], num_shards)
    while True:
        _refine(levels.pop(), shard, limits, num_shards, seed, show)
        if not maps:
            break
        shard = np.append(shard, np.int32(-1))[maps.pop()]
    _deal(shard, num_shards, counts)
    return fill_empty(shard, num_shards)


def _coarsen(
    finest: Level, connected: np.ndarray, num_shards: int, seed: int, show: bool
) -> tuple[list[Level], list[np.ndarray]]:
    """Levels from the finest to the coarsest; the cluster of each vertex, of all but the last."""
    levels, maps = [finest], list[np.ndarray]()
    least = 2 * max(COARSE_VERTICES, 64 * num_shards)
    most = int(finest.graph.weight.sum(dtype=np.int64)) // (CLUSTERS_PER_SHARD * num_shards)
    before = np.inf
    while True:
        n, num_arcs = levels[-1].graph.num_vertices, len(levels[-1].graph.indices)
        if num_arcs <= COARSE_ARCS or n < least or n > STALLED * before:
            break
        with progress(f"level {len(maps) + 1}", PASSES * n, "vertices", show=show) as done:
            maps.append(clusters(levels[-1], most, seed, len(maps), done.advance))
        levels.append(contract(levels[-1], maps[-1]))
        before = n
    if not maps and not connected.all():
        maps.append(np.where(connected, np.cumsum(connected) - 1, -1).astype(np.int32))
        levels.append(contract(finest, maps[-1]))
    return levels, maps


def _in_32_bits(graph: CutGraph) -> CutGraph:
    """The graph with weights of vertices and arcs so small that METIS can add them up."""

    def scaled(weight: np.ndarray) -> np.ndarray:
        room = WEIGHTS_IN_ALL - len(weight)
        by = -(-int(weight.sum(dtype=np.int64)) // max(room, 1))
        return weight if by <= 1 else weight // np.int32(by) + np.int32(1)

    between = None if graph.between is None else scaled(graph.between)
    return CutGraph(graph.indptr, graph.indices, scaled(graph.weight), between)


def _limits(finest: Level, num_shards: int) -> tuple[int, np.ndarray]:
    """(most load, int64 (1 + R,) most vertices and seeds) of a shard."""

    connected = np.diff(finest.graph.indptr) > 0
    load = finest.graph.weight[connected].sum(dtype=np.int64) / num_shards
    even = finest.counts.sum(axis=0, dtype=np.int64) / num_shards
    most = np.maximum(np.floor((1 + EXCESS) * even), np.ceil(even)).astype(np.int64)
    return int(max((1 + LOAD_EXCESS) * load, np.ceil(load))), most


def _refine(
    level: Level,
    shard: np.ndarray,
    limits: tuple[int, np.ndarray],
    num_shards: int,
    seed: int,
    show: bool,
) -> None:
    """Move vertices between shards where that cuts less; changes `shard`, -1 = of none yet."""
    arcs, n = level.arcs, len(shard)
    load = _sums(shard, arcs.weight, num_shards)
    held = np.stack([_sums(shard, column, num_shards) for column in level.counts.T], axis=1)
    shards = Contents(load, held, *limits)
    with progress("refining", REFINEMENTS * n, "vertices", show=show) as done:
        for step in range(PASSES, PASSES + REFINEMENTS):
            for chunks in rounds(n, seed, n, step):
                target = np.empty((len(chunks), CHUNK), np.int32)
                propose_shards(chunks, arcs, level.counts, shard, shards, target)
                grant_shards(chunks, target, arcs.weight, level.counts, shard, shards)
                done.advance(min(len(chunks) * CHUNK, n))


def _sums(shard: np.ndarray, amount: np.ndarray, num_shards: int) -> np.ndarray:
    """int64 (K,): the sum of an amount over each shard's vertices; -1 is of none."""
    return np.bincount(shard + 1, amount, num_shards + 1)[1:].astype(np.int64)


def _deal(shard: np.ndarray, num_shards: int, counts: np.ndarray) -> None:
    """Deal the vertices of none, seeds to where are few, then the others to where are few vertices.

    What several splits leave uneven is left to `rebalance`.
    """
    is_seed = counts[:, 1:].any(axis=1)
    for wanted, held in ((is_seed, is_seed), (~is_seed, np.ones_like(is_seed))):
        left = np.flatnonzero((shard < 0) & wanted)
        room = _filled_up(_sums(shard, np.asarray(held), num_shards), len(left))
        shard[left] = np.repeat(np.arange(num_shards, dtype=np.int32), room)


def _filled_up(held: np.ndarray, amount: int) -> np.ndarray:
    """int64 (K,): how much of `amount` each should get so that the largest becomes least."""
    ascending = np.sort(held)
    need = ascending * np.arange(1, len(held) + 1) - np.cumsum(ascending)
    num_filled = int(np.searchsorted(need, amount, side="right"))
    lowest = np.argsort(held, kind="stable")[:num_filled]
    level, rest = divmod(int(held[lowest].sum()) + amount, num_filled)
    given = np.zeros(len(held), np.int64)
    given[lowest] = level - held[lowest]
    given[lowest[:rest]] += 1
    return given
