"""Small graphs for tests of the partitioner, and shard stores put together again."""

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.sparse import csr_array

from batchgnn.partition.rebalance import EXCESS
from batchgnn.partition.source import GraphArrays
from batchgnn.store.graph_writer import GraphSpec, write_graph
from batchgnn.store.labels import MULTILABEL, REGRESSION, TASKS
from batchgnn.store.seal import seal
from batchgnn.store.shard_check import sums_of
from batchgnn.store.shard_store import ShardStore


@contextmanager
def edited(path):
    """A graph store or manifest, open to be changed by somebody who can also write its seal."""
    with h5py.File(path, "r+") as file:
        yield file
    seal(path)


def accept_shards(folder):
    """Make the manifest agree with the bytes that the shard files have now."""
    with edited(folder / "manifest.h5") as file:
        for s, places in enumerate(file["shard/place"][()]):
            path = folder / f"shard-{s:05d}.h5"
            places[-1, 1] = path.stat().st_size
            file["shard/place"][s] = places
            file["shard/fold"][s] = sums_of(path, places)


DATA = Path(os.environ.get("BATCHGNN_DATA", Path(__file__).parents[1] / "../shared/data"))


def graph_of(edges, num_vertices, *, directed=False, weighted=False, splits=1, **other):
    """A graph with the given edges; everything else is drawn from a fixed seed."""
    rng = np.random.default_rng(0)
    source, target = np.array(edges, np.uint32).reshape(-1, 2).T
    return GraphArrays(
        source=source,
        target=target,
        weight=rng.random(len(edges), np.float32) if weighted else None,
        features=rng.normal(size=(num_vertices, 3)).astype(np.float32),
        label=rng.integers(-1, 2, num_vertices).astype(np.int32),
        split=rng.integers(0, 4, (num_vertices, splits)).astype(np.uint8),
        num_classes=2,
        directed=directed,
        **other,
    )


def two_triangles(**options):
    r"""0 --- 1     4 --- 5
    \   /       \   /
      2 --------- 3       best cut into two parts: the one edge 2 - 3
    """
    return graph_of([(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (2, 3)], 6, **options)


@st.composite
def graphs(draw):
    """Any small graph: doubles, loops, isolated vertices, names, weights, every task, splits."""
    num_vertices = draw(st.integers(1, 12))
    vertex = st.integers(0, num_vertices - 1)
    edges = draw(st.lists(st.tuples(vertex, vertex), max_size=30))
    names = draw(
        st.sampled_from(
            [
                None,
                np.arange(num_vertices) * 7 - 3,
                np.array([f"v{v}" for v in range(num_vertices)], "S"),
            ]
        )
    )
    graph = graph_of(
        edges,
        num_vertices,
        directed=draw(st.booleans()),
        weighted=draw(st.booleans()),
        splits=draw(st.integers(1, 3)),
        names=names,
    )
    task = draw(st.sampled_from(TASKS))
    if task == MULTILABEL:
        label = np.random.default_rng(1).integers(0, 2, (num_vertices, 2)).astype(np.uint8)
        graph = replace(graph, label=label)
    if task == REGRESSION:
        graph = numbered(graph)
    if draw(st.booleans()):
        graph = replace(graph, features=graph.features.astype(np.float16))
    return graph


def numbered(graph):
    """The graph with numbers as labels, NaN where it has no class."""
    number = np.random.default_rng(2).normal(size=graph.num_vertices).astype(np.float32)
    return replace(
        graph, label=np.where(graph.label < 0, np.float32(np.nan), number), num_classes=1
    )


def arcs_of(graph):
    """Sorted (source, target, weight) of all arcs: both directions of an undirected edge."""
    weight = np.ones(graph.num_edges) if graph.weight is None else graph.weight
    arcs = [
        (int(u), int(v), float(w))
        for u, v, w in zip(graph.source, graph.target, weight, strict=True)
    ]
    if not graph.directed:
        arcs += [(v, u, w) for u, v, w in arcs if u != v]
    return sorted(arcs)


class Whole:
    """All shards of a store together, back in the order of the graph store."""

    def __init__(self, path):
        self.store = ShardStore(path)
        self.manifest = self.store.manifest
        self.shards = [self.store.shard(s) for s in range(self.manifest.num_shards)]
        self.original = np.concatenate([shard.original_id for shard in self.shards])

    def column(self, name):
        """A per-vertex dataset in original order; None where the store has none."""
        if getattr(self.shards[0], name) is None:
            return None
        values = np.concatenate([getattr(shard, name) for shard in self.shards])
        return values[np.argsort(self.original)]

    def arcs(self, side):
        """Sorted (source, target, weight) from the in-lists or the out-lists."""
        arcs = []
        for shard in self.shards:
            indptr = getattr(shard, f"{side}_indptr")
            row = shard.original_id[np.repeat(np.arange(shard.num_vertices), np.diff(indptr))]
            other = self.original[getattr(shard, f"{side}_indices")]
            weight = getattr(shard, f"{side}_weight")
            weight = np.ones(len(row)) if weight is None else weight
            ends = (other, row) if side == "in" else (row, other)
            arcs += zip(*(part.tolist() for part in (*ends, weight)), strict=True)
        return sorted(arcs)


def static_graph(name):
    """A real graph of the shared folder, as arrays; skips the test where the folder is absent."""
    path = DATA / "static" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set BATCHGNN_DATA to the folder of real graphs")
    with np.load(path) as file:
        arrays = dict(file)
    indptr = arrays["indptr"]
    num_vertices = len(indptr) - 1
    source = np.repeat(np.arange(num_vertices, dtype=np.uint32), np.diff(indptr))
    target = arrays["indices"].astype(np.uint32)
    once = source < target
    masks = [arrays[f"{role}_mask"].reshape(num_vertices, -1) for role in ("train", "val", "test")]
    split = sum(mask.astype(np.uint8) * (role + 1) for role, mask in enumerate(masks))
    return GraphArrays(
        source=source[once],
        target=target[once],
        features=_features(arrays),
        label=arrays["y"].astype(np.int32),
        split=split,
        num_classes=int(arrays["y"].max()) + 1,
        name=name,
    )


def _features(arrays):
    if "x" in arrays:
        return arrays["x"].astype(np.float32)
    parts = (arrays["x_data"], arrays["x_indices"], arrays["x_indptr"])
    return csr_array(parts, shape=tuple(arrays["x_shape"])).toarray().astype(np.float32)


def store_graph(graph, path):
    """Write a graph of arrays as a graph store."""
    spec = GraphSpec(
        name=graph.name,
        num_vertices=graph.num_vertices,
        directed=graph.directed,
        num_features=graph.num_features,
        feature_dtype=graph.feature_dtype.type,
        task=graph.task,
        num_classes=graph.num_classes,
        num_splits=graph.num_splits,
        weighted=graph.weighted,
        name_dtype=None if graph.names is None else graph.names.dtype,
    )
    with write_graph(path, spec) as writer:
        writer.append_features(graph.features)
        writer.append_labels(graph.label)
        writer.append_split(graph.read_split())
        if graph.names is not None:
            writer.append_names(graph.names)
        writer.append_edges(graph.source, graph.target, graph.weight)
    return path


def random_graph(num_vertices, num_edges, **options):
    """Power-law ends, so that degrees differ widely."""
    rng = np.random.default_rng(5)
    ends = (num_vertices * rng.random((num_edges, 2)) ** 2).astype(np.uint32)
    return graph_of(ends, num_vertices, **options)


def most_seeds(train, num_shards):
    """Training seeds that a shard may have, by split."""
    mean = train.sum(axis=0) / num_shards
    return np.maximum(np.floor((1 + EXCESS) * mean), np.ceil(mean))
