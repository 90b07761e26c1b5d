"""Aggregated inputs on one rank: the dense product, whatever the chunks and blocks of columns."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI
from shards import graph_of

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import settings_of
from batchgnn.operators.local import LocalOperator
from batchgnn.run.session import open_session
from batchgnn.sampling import kept_inputs
from batchgnn.sampling.kept_inputs import InputAggregation, keep_inputs
from batchgnn.sampling.sampler import Sampler

LOOPS = [(0, 0), (1, 0), (2, 1), (1, 1), (1, 1), (4, 3), (3, 4), (4, 4), (0, 4), (0, 4), (6, 0)]
GRAPHS = {
    "loops": graph_of(LOOPS, 8),
    "loops, directed weighted": graph_of(LOOPS, 8, directed=True, weighted=True),
    "hub": graph_of([(u, 0) for u in range(1, 40)], 40, directed=True),
    "no edges": graph_of([], 5),
    "undirected": learnable_graph(num_vertices=150),
    "directed weighted": learnable_graph(num_vertices=150, directed=True),
}
MODEL = {"mean": "sage", "sum": "gin", "gcn": "gcn"}
SETTINGS = settings_of(threads=1, overlap=False)


@pytest.fixture(scope="module", params=GRAPHS, ids=GRAPHS)
def graph_and_shards(request, tmp_path_factory):
    graph = GRAPHS[request.param]
    return graph, shards_of(graph, tmp_path_factory.mktemp("graph") / "shards", 3)


def adjacency(graph, weight):
    """A[target, source] = sum of the weights of the edges, in both directions when undirected."""
    A = np.zeros((graph.num_vertices, graph.num_vertices))
    np.add.at(A, (graph.target, graph.source), weight)
    if not graph.directed:
        other = graph.source != graph.target  # a self-loop stands for one arc
        np.add.at(A, (graph.source[other], graph.target[other]), weight[other])
    return A


def dense_product(graph, aggregation):
    """The definition: rows in the order of the graph store, float64."""
    x, one = graph.features.astype(float), np.ones(graph.num_edges)
    if aggregation == "gcn":
        A = adjacency(graph, one if graph.weight is None else graph.weight)
        has_loop = (A.diagonal() != 0) & (graph.weight is not None)
        np.fill_diagonal(A, np.where(has_loop, A.diagonal(), 1))  # one loop each, with its weight
        norm = 1 / np.sqrt(A.sum(axis=1))
        return norm[:, None] * (A @ (norm[:, None] * x))
    A = adjacency(graph, one)
    return A @ x / (np.maximum(A.sum(axis=1, keepdims=True), 1) if aggregation == "mean" else 1)


def compute(shards, aggregation, settings=SETTINGS, **options):
    """The rows of a single rank, and its session's shards; all ends with the session."""
    with open_session(shards, settings.replace(model=MODEL[aggregation]), MPI.COMM_SELF) as s:
        own = s.own
        out = [np.full(part.shape, np.nan, np.float32) for part in own.features.parts]
        plan = InputAggregation(s.grid.world, own, aggregation, list(range(len(out))))
        plan.into(out, **options)
        return np.concatenate(out), own.original_id


@pytest.mark.parametrize("aggregation", MODEL)
def test_it_is_the_dense_product(graph_and_shards, aggregation):
    graph, shards = graph_and_shards
    rows, original = compute(shards, aggregation)
    expected = dense_product(graph, aggregation)[original]
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("aggregation", MODEL)
def test_it_is_the_first_layers_operator_on_all_neighbours(graph_and_shards, aggregation):
    _, shards = graph_and_shards
    rows, _ = compute(shards, aggregation)
    with open_session(shards, SETTINGS.replace(model=MODEL[aggregation]), MPI.COMM_SELF) as s:
        own = s.own
        block = Sampler(s.grid.world, own, gcn=aggregation == "gcn").own_block(own.ids)
        local = own.ownership.local_rows(block.ids)
        if aggregation == "gcn":
            block = block.with_scale(own.gcn_scale[local])
        x = np.concatenate(own.features.parts)[local]
        np.testing.assert_array_equal(rows, LocalOperator(block, aggregation).gather(x))


@pytest.mark.parametrize("aggregation", MODEL)
def test_chunks_do_not_show(graph_and_shards, aggregation, monkeypatch):
    _, shards = graph_and_shards
    whole, _ = compute(shards, aggregation)
    monkeypatch.setattr(kept_inputs, "CHUNK_BYTES", 300)
    rows, _ = compute(shards, aggregation)
    np.testing.assert_array_equal(rows, whole)


def test_of_half_width_features_it_is_half_as_wide(tmp_path):
    graph = learnable_graph(num_vertices=100)
    shards = shards_of(graph, tmp_path / "shards")
    whole, _ = compute(shards, "mean")
    for name, dtype in (("float16", np.uint16), ("bfloat16", np.int16)):
        settings = SETTINGS.replace(feature_dtype=name)
        with open_session(shards, settings, MPI.COMM_SELF) as s:
            column = keep_inputs(s.grid.world, s.own, "mean", keep="memory")
            assert column.dtype == dtype
            rows = np.empty((s.own.num_own, column.width), np.float32)
            column.take(np.arange(s.own.num_own), rows)
            np.testing.assert_allclose(rows, whole, atol=0.02 if name == "bfloat16" else 0.003)


def test_sums_too_large_for_float16_are_refused(tmp_path):
    graph = graph_of([(u, 0) for u in range(1, 40)], 40, directed=True)
    object.__setattr__(graph, "features", np.full((40, 3), 4000, np.float32))
    shards = shards_of(graph, tmp_path / "shards")

    def run(keep, feature_dtype):
        settings = SETTINGS.replace(model="gin", feature_dtype=feature_dtype)
        with open_session(shards, settings, MPI.COMM_SELF) as s:
            keep_inputs(s.grid.world, s.own, "sum", keep=keep)

    run("store", "bfloat16")
    for keep in ("memory", "store"):
        with pytest.raises(ConfigError, match="the sum over a neighbourhood is too large"):
            run(keep, "float16")
    names = {path.name[:-9] for path in (shards / "aggregate").iterdir()}
    assert names == {"sum-bfloat16"}
