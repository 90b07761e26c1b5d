"""Tensor-parallel training in float64: P ranks are one process with a local operator; bytes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from mpi.together import (
    GRAPHS,
    WHOLE,
    assert_same_training,
    changed,
    counted_epoch,
    on_one_rank,
    sent_bytes,
    train_whole,
    written,
)
from propagation import RepeatedOperator

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.modes.open import make_mode
from batchgnn.modes.whole.mode import WholeGraph, WholeGraphMode
from batchgnn.nn.linear import dense
from batchgnn.run.session import open_session
from batchgnn.sampling.in_edges import InEdges

GRAPH = "batchgnn.modes.tensor.graph"
BASE = changed(WHOLE, mode="tensor")
VARIANTS = {
    "kept aggregate": {"chunks": 3},
    "input dropout": {"input_dropout": 0.2, "overlap": True, "chunks": 5},
    "batch norm, no cache": {"norm": "batch", "aggregate_cache": "off", "overlap": True},
}
SCORES = ("scores", "scores adjoint")
EXCHANGES = ("split", "join", *SCORES)
GRID = {"directed weighted"}  # as many shards as there are groups of ranks, at most


@pytest.fixture(scope="module")
def stores(shared_folder):
    """Two shards: ranks may be more."""
    return {
        name: written(shared_folder / name, 4 if name in GRID else 2, **options)
        for name, options in GRAPHS.items()
    }


def local_graph(own, model, exact):
    """One process: a local operator over all edges; exact: GCN's weights in full precision."""
    edges = InEdges(own, 1).block()
    A = RepeatedOperator(replace(edges, scale=own.gcn_scale), model.aggregation)
    if model.aggregation == "gcn" and exact:
        indptr, indices, edge = A._looped
        target = np.repeat(np.arange(own.num_own), np.diff(indptr))
        scale = own.gcn_scale.astype(np.float64)
        weight = np.ones(len(edge)) if edges.weight is None else edges.weight
        A._weight = scale[target] * scale[indices] * np.where(edge >= 0, weight[edge], 1)
    x = dense(own.features.at(np.arange(own.num_own))).astype(np.float64)
    return WholeGraph([A] * model.num_layers, x)


def local_mode(session, exact=True):
    """What trains on it."""
    return WholeGraphMode(session, local_graph(session.own, session.model, exact))


as_halo_mode = partial(local_mode, exact=False)
train_alone = on_one_rank(train_whole)


def settings_of(model, variant, **other):
    """The settings of a variant that the model can have."""
    attention_dropout = 0.3 if model == "gat" else 0.0
    return changed(
        BASE, model=model, attention_dropout=attention_dropout, **VARIANTS[variant], **other
    )


ON = {
    "kept aggregate": ["undirected", "directed weighted"],
    "input dropout": ["directed weighted"],
    "batch norm, no cache": ["many labels"],
}
MODELS = ["sage", "gcn", "gin", "gat"]
CASES = [(graph, variant, m) for variant, graphs in ON.items() for graph in graphs for m in MODELS]
CASES += [("directed weighted", "input dropout", "gcnii")]


@pytest.mark.parametrize(("graph", "variant", "model"), CASES)
def test_ranks_train_as_one_process(comm, stores, graph, variant, model):
    settings = settings_of(model, variant)
    alone = changed(settings, mode="fullgraph", aggregate_cache="off", overlap=False)
    expected = train_alone(stores[graph], alone, local_mode)
    assert_same_training(train_whole(comm, stores[graph], settings), expected)


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("variant", ["kept aggregate", "input dropout"])
def test_the_grid_trains_as_one_process(comm, stores, model, variant):
    """4 ranks are 2 groups of 2, others groups of one; its GCN has the halo operator's weights."""
    settings = changed(settings_of(model, variant), tensor_ways=1 + (comm.size == 4), chunks="auto")
    alone = changed(settings, mode="fullgraph", aggregate_cache="off", overlap=False)
    shards = stores["directed weighted"]
    # one rank is no grid
    expected = train_alone(shards, alone, local_mode if comm.size == 1 else as_halo_mode)
    assert_same_training(train_whole(comm, shards, settings), expected)


DECOUPLED = changed(BASE, input_dropout=0.2, chunks=3)


@pytest.mark.parametrize(
    ("graph", "model"),
    [("undirected", "gcn"), ("directed weighted", "gcn"), ("directed weighted", "gat")],
)
def test_decoupled_ranks_train_as_one_decoupled_process(comm, stores, graph, model):
    """The one process has GAT's attention as dense matrices (tests/propagation.py)."""
    options = {"model": f"decoupled-{model}", "attention_dropout": 0.3}
    settings = changed(DECOUPLED, overlap=comm.size > 1, **options)
    expected = train_alone(stores[graph], changed(settings, overlap=False), local_mode)
    assert_same_training(train_whole(comm, stores[graph], settings), expected)
    with open_session(stores[graph], settings, comm) as session:
        assert make_mode(session).exactness.startswith("exact; decoupled")


@pytest.mark.parametrize(("model", "layers"), [("gcn", 2), ("gcn", 5), ("gat", 2), ("gat", 5)])
def test_a_decoupled_epoch_has_two_splits_and_two_joins(comm, stores, layers, model):
    """4 (1 - 1/P) N K numbers, whatever the layers, K = 12 classes; GAT: and 4 (P - 1) N scores."""
    settings = changed(BASE, model=f"decoupled-{model}", layers=layers, chunks=3)
    with open_session(stores["even"], settings, comm) as session:
        mode = make_mode(session)
        list(mode.epoch(0))
        counts = counted_epoch(mode, 1)
    dealt, scores = sent_bytes(comm, counts, "split", "join"), sent_bytes(comm, counts, *SCORES)
    assert dealt * comm.size == 4 * (comm.size - 1) * 396 * 12 * 4
    assert scores == 4 * (comm.size - 1) * 396 * 4 * (model == "gat")
    if comm.size > 1:
        calls = [lane["collectives"] for lane in counts.values()]
        num_calls = sum(c[name]["calls"] for c in calls for name in c if name in EXCHANGES)
        assert num_calls == (6 if model == "gat" else 4)
        assert not any("norms" in c for c in calls)


@pytest.mark.parametrize("model", ["gcn", "gat", "decoupled-gat"])
def test_chunks_overlap_and_given_back_pages_change_no_bit(comm, stores, model, monkeypatch):
    results = []
    for chunks, overlap, frugal in ((1, False, False), (7, True, False), (4, True, True)):
        monkeypatch.setattr(
            "batchgnn.modes.tensor.graph.is_frugal", lambda *_, frugal=frugal: frugal
        )
        settings = settings_of(model, "input dropout")
        settings = changed(settings, overlap=overlap, chunks=chunks)
        shards = stores["directed weighted"]
        results.append(train_whole(comm, shards, settings, dtype=np.float32))
    for each in results[1:]:
        assert each.losses == results[0].losses
        np.testing.assert_array_equal(each.parameters, results[0].parameters)


def sent(num_vertices, width, num_ranks, item=4):
    """Bytes that all ranks send in one split or one join."""
    rows = np.diff(even_bounds(num_vertices, num_ranks))
    columns = np.diff(even_bounds(width, num_ranks))
    return int((rows * (width - columns)).sum()) * item


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("graph", ["undirected", "even"])
def test_bytes_are_those_of_the_formula(comm, stores, graph, chunks):
    """4 L (1 - 1/P) N d bytes, where all widths are d = 12 and P divides both N and d."""
    settings = changed(BASE, model="gcn", hidden=12, chunks=chunks, aggregate_cache="off")
    n, widths = GRAPHS[graph]["num_vertices"], [12, 12, GRAPHS[graph].get("num_classes", 4)]
    with open_session(stores[graph], settings, comm) as session:
        counts = counted_epoch(make_mode(session))
    got = sent_bytes(comm, counts, "split", "join")
    assert got == sum(4 * sent(n, width, comm.size) for width in widths)
    if graph == "even":
        assert got * comm.size == 4 * 3 * (comm.size - 1) * n * 12 * 4


def test_bytes_with_a_kept_aggregate_leave_the_first_layer_out(comm, stores):
    settings = changed(BASE, model="sage", overlap=True)
    with open_session(stores["even"], settings, comm) as session:
        counts = counted_epoch(make_mode(session))
    assert sent_bytes(comm, counts, "split", "join") == 4 * (
        sent(396, 14, comm.size) + sent(396, 12, comm.size)
    )


@pytest.mark.parametrize("heads", [2, 7])
def test_bytes_of_attention(comm, stores, heads):
    """Whole heads for each rank: their columns and scores are dealt; else all get all scores."""
    settings = changed(BASE, model="gat", heads=heads, layers=2)
    with open_session(stores["even"], settings, comm) as session:
        counts = counted_epoch(make_mode(session))
    n, num_ranks, dealt, scores = 396, comm.size, 0, 0
    for num_heads, width in ((heads, 14 // heads), (1, 12)):
        if num_heads >= num_ranks:
            rows, dealt_heads = (
                np.diff(even_bounds(n, num_ranks)),
                np.diff(even_bounds(num_heads, num_ranks)),
            )
            others = int((rows * (num_heads - dealt_heads)).sum())
            dealt += 4 * others * (width + 1) * 4  # z, h and their gradients; four of scores
        else:
            dealt += 4 * sent(n, num_heads * width, num_ranks)
            scores += 4 * n * num_heads * (num_ranks - 1) * 4
    assert sent_bytes(comm, counts, *SCORES) == scores
    assert sent_bytes(comm, counts, "split", "join") == dealt


def test_bytes_of_the_grid(comm, stores):
    """2 L halo rows x d of every part, and split and join inside the groups."""
    ways = 2 if comm.size == 4 else 1
    settings = changed(BASE, model="gcn", hidden=12, tensor_ways=ways, aggregate_cache="off")
    with open_session(stores["directed weighted"], settings, comm) as session:
        mode = make_mode(session)
        counts = counted_epoch(mode)
        A = mode.graph.operators[0]
        halo = A.inner.num_halo if comm.size > 1 else 0  # one rank is no grid
        rows = np.array(comm.allgather(session.own.num_own)).reshape(-1, ways)
    halo = sum(comm.allgather(halo)[::ways])
    widths = [12, 12, 4]
    assert sent_bytes(comm, counts, "halo", "halo adjoint") == 2 * halo * sum(widths) * 4
    columns = np.array([np.diff(even_bounds(width, ways)) for width in widths])
    others = (rows[:, None, :] * (np.array(widths)[:, None] - columns)).sum()
    assert sent_bytes(comm, counts, "split", "join") == 4 * others * 4
    assert (halo > 0) == (comm.size > 1)
