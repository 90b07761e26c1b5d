"""What `inspect` says of labels and splits, counted over chunks of vertices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn.partition.source import GraphSource
from batchgnn.store.labels import REGRESSION
from batchgnn.store.seeds import TRAIN, has_label, is_seed
from batchgnn.store.shard_store import ShardStore

CHUNK = 1 << 20


@dataclass(frozen=True)
class LabelCounts:
    """Counts over all vertices of a store.

    roles       int64 (R, 4)  vertices by their value of `vertex/split`, for each split
    num_seeds   int64 (R,)    training vertices that have a label
    unlabelled  vertices without a label
    low, high   the smallest and the largest label; infinite when there is none
    """

    roles: np.ndarray
    num_seeds: np.ndarray
    unlabelled: int
    low: float
    high: float

    @property
    def lacking(self) -> np.ndarray:
        """int64 (R,): training vertices without a label."""
        return self.roles[:, TRAIN] - self.num_seeds

    def task(self, task: str, num_classes: int) -> str:
        """The task in words, and what labels there are."""
        words = [task, f"{num_classes:,} classes"]
        if task == REGRESSION:
            words[1:] = (
                [f"labels from {self.low:g} to {self.high:g}"] if self.low <= self.high else []
            )
        if self.unlabelled or task == REGRESSION:
            words.append(f"{self.unlabelled:,} vertices without a label")
        return ", ".join(words)


def count_labels(chunks: Iterable[tuple[np.ndarray, np.ndarray]], num_splits: int) -> LabelCounts:
    """Counts from (labels, split (n, R)) of all vertices, in chunks."""
    roles, num_seeds = np.zeros((num_splits, 4), np.int64), np.zeros(num_splits, np.int64)
    unlabelled, low, high = 0, np.inf, -np.inf
    for label, split in chunks:
        for r in range(num_splits):
            roles[r] += np.bincount(split[:, r], minlength=4)
        num_seeds += is_seed(label, split).sum(axis=0)
        known = has_label(label)
        unlabelled += int(len(known) - known.sum())
        if label.ndim == 1 and known.any():
            low, high = min(low, float(label[known].min())), max(high, float(label[known].max()))
    return LabelCounts(roles, num_seeds, unlabelled, low, high)


def labels_of_graph(graph: GraphSource) -> LabelCounts:
    """Counts of a graph store."""

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, graph.num_vertices, CHUNK):
            rows = slice(begin, min(begin + CHUNK, graph.num_vertices))
            yield graph.read_labels(rows), graph.read_split(rows)

    return count_labels(chunks(), graph.num_splits)


def labels_of_shards(store: ShardStore) -> LabelCounts:
    """Counts of a shard store, whose labels and splits are read; raises StoreError."""
    shards = map(store.shard, range(store.manifest.num_shards))
    return count_labels(((s.label, s.split) for s in shards), store.manifest.num_splits)
