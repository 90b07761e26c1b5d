"""A pass after the cut that evens the training seeds of the shards, then their loads.

pymetis balances one weight, and that is the load. Seeds move first, those whose move costs the
fewest cut edges, to shards with room for their load as long as there are any; then vertices of
overloaded shards move to shards with room for both.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.kernels.rebalance import move_in_order, price_moves
from batchgnn.partition.cut_graph import CutGraph

EXCESS = 0.05
"Seeds and load of a shard may lie this far above the mean."
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
    num_train = count_seeds(shard, num_shards, train)
    mean = num_train.sum(axis=0) / num_shards
    train_limit = np.maximum(np.floor((1 + EXCESS) * mean), np.ceil(mean)).astype(np.int64)
    load = np.bincount(shard, graph.weight, num_shards).astype(np.int64)
    size = np.bincount(shard, minlength=num_shards)
    even = (1 + EXCESS) * load.sum() / num_shards
    phases = [(False, int(even * slack)) for slack in SLACKS] + [(True, int(even))]
    links = np.zeros(num_shards, np.int64)
    cut = (graph.indptr, graph.indices, shard, train, num_train, train_limit, graph.weight, load)

    for by_load, load_limit in phases:
        price = np.empty(len(shard), np.float64)
        for _ in range(PASSES):
            state = (*cut, size, load_limit, by_load)
            price_moves(*state, links, price)
            order = np.flatnonzero(np.isfinite(price))
            order = order[np.argsort(price[order], kind="stable")]
            if not move_in_order(order, price, *state, links):
                break
    excess = float((num_train.max(axis=0) / np.maximum(mean, 1e-9)).max()) if mean.any() else 1.0
    return Rebalanced(shard, int((shard != before).sum()), excess)


def count_seeds(shard: np.ndarray, num_shards: int, train: np.ndarray) -> np.ndarray:
    """int64 (K, R): training seeds of each shard in each split."""
    columns = [
        np.bincount(shard[train[:, r] != 0], minlength=num_shards) for r in range(train.shape[1])
    ]
    return np.stack(columns, axis=1).astype(np.int64)
