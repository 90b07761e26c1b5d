"""How good the deal of a store's shards to trainers is: edges kept, spread of labels, balance.

The deal is that of mode averaging. Zhu, Reganti, Huang et al., "Simplifying Distributed Neural
Network Training on Massive Graphs: Randomized Partitions Improve Model Aggregation".
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.graph.deal import deal_shards_to
from batchgnn.graph.ownership import Ownership
from batchgnn.store.labels import MULTICLASS, MULTILABEL
from batchgnn.store.shard_store import ShardStore

CHUNK_EDGES = 1 << 22


@dataclass(frozen=True)
class TrainerDeal:
    """What each of M trainers has; arrays (M,).

    kept_ratio    r, of all edges those whose ends are one trainer's
    expected      r of many shards: r_N + (1 - r_N) / M, with r_N the share of edges inside a shard
    label_spread  mean over the trainers of the total variation between the classes of their
                  labelled vertices and of all; None where there are no classes
    shards, vertices, edges, seeds  int64; edges among own vertices; seeds of the first split
    """

    kept_ratio: float
    expected: float
    label_spread: float | None
    shards: np.ndarray
    vertices: np.ndarray
    edges: np.ndarray
    seeds: np.ndarray


def deal_to_trainers(store: ShardStore, trainers: int, seed: int) -> TrainerDeal:
    """The deal of mode averaging for so many trainers; edges and labels are read, in chunks.

    Raises StoreError where shards are too few, or hold a stream of events.
    """
    m = store.manifest
    if m.events is not None:
        raise StoreError(f"{store.path} has a stream of events, which is dealt to no trainers.")
    if m.num_shards < trainers:
        raise StoreError(
            f"{store.path} has {m.num_shards} shards, too few for --trainers {trainers}: take "
            "fewer, or cut it into more shards."
        )
    deal = deal_shards_to(m.num_shards, trainers, trainers, seed)
    ownership = Ownership(m.offset, deal)
    kept, inside = np.zeros(trainers, np.int64), 0
    classes = np.zeros((trainers, m.num_classes), np.int64)
    for s in range(m.num_shards):
        shard = store.shard(s)
        for begin in range(0, len(shard.in_indices), CHUNK_EDGES):
            sources = shard.in_indices[begin : begin + CHUNK_EDGES]
            kept[deal[s]] += np.count_nonzero(ownership.owner(sources) == deal[s])
            inside += int(np.count_nonzero(ownership.shard_of(sources) == s))
        classes[deal[s]] += _class_counts(m.task, shard.label, m.num_classes)

    def of_trainers(of_shard: np.ndarray) -> np.ndarray:
        return np.bincount(deal, of_shard, trainers).astype(np.int64)

    num_edges = max(m.num_edges, 1)
    within = inside / num_edges
    return TrainerDeal(
        kept_ratio=float(kept.sum() / num_edges),
        expected=within + (1 - within) / trainers,
        label_spread=label_spread(classes) if classes.any() else None,
        shards=np.bincount(deal, minlength=trainers),
        vertices=of_trainers(m.shard_vertices),
        edges=kept,
        seeds=of_trainers(m.num_seeds[:, 0]),
    )


def label_spread(classes: np.ndarray) -> float:
    """Mean over trainers of half the L1 distance between their classes' shares and those of all.

    classes: int64 (M, C), labelled vertices by trainer and class; trainers without any are left out
    """
    counted = classes[classes.sum(axis=1) > 0]
    shares = counted / counted.sum(axis=1, keepdims=True)
    of_all = classes.sum(axis=0) / classes.sum()
    return float(np.abs(shares - of_all).sum(axis=1).mean() / 2)


def _class_counts(task: str, label: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (num_classes,): vertices of each class; of several labels, a vertex counts in each."""
    if task == MULTICLASS:
        return np.bincount(label[label >= 0], minlength=num_classes)
    if task == MULTILABEL:
        return (label == 1).sum(axis=0, dtype=np.int64)
    return np.zeros(num_classes, np.int64)
