"""A pass after the cut that evens the training seeds of the shards, their loads, their vertices.

pymetis balances one weight, and that is the load: mostly edges, of which many vertices may have as
many as a few hubs. Seeds move first, those whose move costs the fewest cut edges, to shards with
room for their load as long as there are any; then vertices of overloaded shards move to shards with
room for both; at last those of shards with too many vertices, as far as that cuts no more edges.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.kernels.rebalance import Limits, Shards, Vertices, move_in_order, price_moves
from batchgnn.partition.cut_graph import CutGraph

EXCESS = 0.05
"Seeds and load of a shard may lie this far above the mean."
VERTEX_EXCESS, VERTEX_LOAD = 0.05, 0.02
"""So may vertices, for each of which training on the whole graph multiplies and keeps rows: as much
as for 70 edges, measured with a GCN of 64 columns. They only move where that cuts no more edges
(many of an R-MAT graph have none), and a shard's load becomes VERTEX_LOAD of the mean larger."""
PASSES = 50
SLACKS = (1.0, 1.05, 1.15, 1.5, 1e9)
"How much more load than even a shard may get while seeds move; the next one when no move is left."


@dataclass(frozen=True)
class Rebalanced:
    """The shards after the pass, and what it did.

    shard   int32 (N,)
    moves   vertices that changed their shard
    excess  the largest number of seeds of a shard over the mean, in the worst split; 1 = even
    """

    shard: np.ndarray
    moves: int
    excess: float


def no_graph(num_vertices: int) -> CutGraph:
    """Vertices without edges, of equal weight: where no cut can be damaged."""
    return CutGraph(
        np.zeros(num_vertices + 1, np.int32),
        np.empty(0, np.int32),
        np.ones(num_vertices, np.int32),
    )


def rebalance(shard: np.ndarray, num_shards: int, train: np.ndarray, graph: CutGraph) -> Rebalanced:
    """Even the seeds of every split within 5 % of the mean, or within one seed of it.

    shard  int32 (N,)      not changed
    train  uint8 (N, R)    1 = a training seed of that split
    With several splits the limits may exclude each other; then the pass does what it can, and
    `excess` says how far it came.
    """
    shard, before = shard.astype(np.int32), shard
    num_seeds = count_seeds(shard, num_shards, train)
    mean = num_seeds.sum(axis=0) / num_shards
    train_limit = np.maximum(np.floor((1 + EXCESS) * mean), np.ceil(mean)).astype(np.int64)
    load = np.bincount(shard, graph.weight, num_shards).astype(np.int64)
    size = np.bincount(shard, minlength=num_shards)
    even = (1 + EXCESS) * load.sum() / num_shards
    phases = [(False, int(even * slack)) for slack in SLACKS] + [(True, int(even))]
    vertices = Vertices(graph.indptr, graph.indices, graph.weight, train)
    shards = Shards(shard, num_seeds, load, size)
    for by_load, load_limit in phases:
        _move(vertices, shards, Limits(train_limit, load_limit), by_load)
    counted = np.column_stack([num_seeds, size])
    limits = np.append(
        train_limit, np.int64(np.ceil((1 + VERTEX_EXCESS) * len(shard) / num_shards))
    )
    every = np.column_stack([train, np.ones(len(shard), np.uint8)])
    vertices, shards = vertices._replace(train=every), shards._replace(num_seeds=counted)
    room = max(int(even), int(load.max())) + int(VERTEX_LOAD * load.sum() / num_shards)
    _move(vertices, shards, Limits(limits, room), by_load=False, free=True)
    num_seeds = counted[:, :-1]
    excess = float((num_seeds.max(axis=0) / np.maximum(mean, 1e-9)).max()) if mean.any() else 1.0
    return Rebalanced(shard, int((shard != before).sum()), excess)


def _move(
    vertices: Vertices, shards: Shards, limits: Limits, by_load: bool, free: bool = False
) -> None:
    """Passes of the cheapest moves first, until none helps; changes `shards`.

    free: only moves that cut no more edges, the lightest vertices first
    """
    price, links = np.empty(len(shards.shard), np.float64), np.zeros(len(shards.load), np.int64)
    for _ in range(PASSES):
        price_moves(vertices, shards, limits, by_load, links, price)
        order = np.flatnonzero(price <= 0 if free else np.isfinite(price))
        order = order[np.argsort((vertices.weight if free else price)[order], kind="stable")]
        if not move_in_order(order, price, vertices, shards, limits, by_load, links):
            break


def count_seeds(shard: np.ndarray, num_shards: int, seeds: np.ndarray) -> np.ndarray:
    """int64 (K, R): seeds of each shard in each split; bool or uint8 (n, R), 1 = a seed."""
    columns = [
        np.bincount(shard[seeds[:, r] != 0], minlength=num_shards) for r in range(seeds.shape[1])
    ]
    return np.stack(columns, axis=1).astype(np.int64)
