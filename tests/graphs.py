"""A learnable graph of a few hundred vertices, and its shards, for tests of training."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from batchgnn.partition.partition import partition
from batchgnn.partition.source import GraphArrays


def learnable_graph(
    *, directed=False, multilabel=False, num_vertices=400, num_classes=4, names=None
) -> GraphArrays:
    """Most edges join vertices of one label, features are noisy one-hots of it; directed: weights.

    Degrees are uneven, some vertices are isolated, some edges doubled, some labels missing.
    """
    rng = np.random.default_rng(1)
    label = rng.integers(0, num_classes, num_vertices).astype(np.int32)
    members = [np.flatnonzero(label == c) for c in range(num_classes)]
    source = (num_vertices * rng.random(5 * num_vertices) ** 2).astype(np.int64)
    same = rng.random(len(source)) < 0.8
    target = np.where(
        same,
        [rng.choice(members[label[s]]) for s in source],
        rng.integers(0, num_vertices, len(source)),
    )
    keep = source != target
    features = rng.normal(size=(num_vertices, 12)) + 1.5 * np.eye(num_classes, 12)[label]
    split = rng.choice([1, 1, 1, 2, 3], num_vertices).astype(np.uint8)
    labels = label
    if multilabel:
        labels = (
            np.eye(num_classes)[label] + rng.random((num_vertices, num_classes)) > 0.8
        ).astype(np.uint8)
    else:
        labels = np.where((split == 0) | (rng.random(num_vertices) < 0.05), -1, label)
        split = np.where(labels < 0, 0, split).astype(np.uint8)
    weight = rng.uniform(0.2, 2, keep.sum()).astype(np.float32) if directed else None
    return GraphArrays(
        source=source[keep],
        target=target[keep],
        weight=weight,
        features=features.astype(np.float32),
        label=labels.astype(labels.dtype if multilabel else np.int32),
        split=split,
        num_classes=num_classes,
        directed=directed,
        names=names,
    )


def with_numbers(graph: GraphArrays) -> GraphArrays:
    """The graph with a number to learn for each class, NaN where a vertex has none."""
    noise = np.random.default_rng(4).normal(scale=0.1, size=graph.num_vertices)
    number = np.where(graph.label < 0, np.nan, graph.label - 1.5 + noise)
    return replace(graph, label=number.astype(np.float32), num_classes=1)


def shards_of(
    graph: GraphArrays,
    path: Path,
    num_shards: int = 4,
    method: str = "random",
    links: tuple[float, float, float] | None = None,
) -> Path:
    """Cut the graph into a new shard store; links: shares of the edges, where they are split."""
    partition(graph, path, method, num_shards, 0, links=links)
    return path
