"""Tensor-parallel training in float64: P ranks are one process with a local operator; bytes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI
from propagation import RepeatedOperator

from batchgnn import trace
from batchgnn.config import Settings
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.modes.choice import is_seed, make_mode
from batchgnn.modes.fullgraph import FullgraphMode, WholeGraph
from batchgnn.modes.in_edges import InEdges
from batchgnn.nn.linear import dense
from batchgnn.nn.optim import make_optimizer
from batchgnn.session import open_session

EPOCHS = 20
BASE = Settings(
    mode="tensor",
    layers=3,
    hidden=14,
    heads=2,
    lr=0.01,
    dropout=0.4,
    overlap=False,
    threads=1,
    collective_timeout=60,
)
VARIANTS = {
    "kept aggregate": {"chunks": 3},
    "input dropout": {"input_dropout": 0.2, "overlap": True, "chunks": 5},
    "batch norm, no cache": {"norm": "batch", "aggregate_cache": "off", "overlap": True},
}
GRAPHS = {
    "undirected": {"num_vertices": 397},
    "directed weighted": {"directed": True},
    "many labels": {"multilabel": True, "num_vertices": 203},
    "even": {"num_vertices": 396, "num_classes": 12},
}
SCORES = ("scores", "scores adjoint")
EXCHANGES = ("split", "join", *SCORES)
GRID = {"directed weighted"}  # as many shards as there are groups of ranks, at most


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same shard stores on every rank; the first writes them. Two shards: ranks may be more."""
    folder = MPI.COMM_WORLD.bcast(tmp_path_factory.mktemp("shared"))
    if MPI.COMM_WORLD.rank == 0:
        for name, options in GRAPHS.items():
            shards_of(learnable_graph(**options), folder / name, 4 if name in GRID else 2)
    MPI.COMM_WORLD.Barrier()
    return {name: folder / name for name in GRAPHS}


def with_model(session, dtype):
    """The session with a model of this precision."""
    sizes = session.manifest.num_features, session.manifest.num_classes
    spec, kind = session.model.spec, type(session.model)
    session.model = kind(spec, *sizes, seed=session.settings.seed, dtype=dtype)
    return session


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
    settings, own, model = session.settings, session.own, session.model
    optimizer = make_optimizer("adam", model.parameters, lr=settings.lr, weight_decay=0)
    rows = np.flatnonzero(is_seed(session))
    graph, world = local_graph(own, model, exact), session.grid.world
    return FullgraphMode(
        world, graph, own.label, rows, len(rows), model, optimizer, seed=settings.seed
    )


def train(comm, shards, settings, make=make_mode, dtype=np.float64, epochs=EPOCHS):
    """Mean losses, the first gradient, the last parameters, and exact logits by original id."""
    with open_session(shards, settings, comm) as session:
        mode, losses = make(with_model(session, dtype)), []
        parameters = session.model.parameters
        for epoch in range(epochs):
            sums = np.zeros(2)
            for result in mode.epoch(epoch):
                sums += [result.loss_sum, result.num_seeds]
            sums = session.grid.world.allreduce(sums)
            losses.append(sums[0] / sums[1])
            if epoch == 0:
                gradient = {name: grad.copy() for name, grad in parameters.grads.items()}
        logits = mode.inference().logits()
        rows = dict(zip(session.own.original_id.tolist(), logits, strict=True))
        return losses, gradient, parameters.buffer.copy(), rows


def settings_of(model, variant, **other):
    """The settings of a variant that the model can have."""
    attention_dropout = 0.3 if model == "gat" else 0.0
    return replace(
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
    alone = replace(settings, mode="fullgraph", aggregate_cache="off", chunks="auto", overlap=False)
    expected = train(MPI.COMM_SELF, stores[graph], alone, local_mode)
    assert_equal_runs(train(comm, stores[graph], settings), expected)


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("variant", ["kept aggregate", "input dropout"])
def test_the_grid_trains_as_one_process(comm, stores, model, variant):
    """4 ranks are 2 groups of 2, others groups of one; its GCN has the halo operator's weights."""
    settings = replace(settings_of(model, variant), tensor_ways=1 + (comm.size == 4), chunks="auto")
    changes = {"mode": "fullgraph", "aggregate_cache": "off", "overlap": False, "tensor_ways": None}
    alone, shards = replace(settings, **changes), stores["directed weighted"]
    exact = comm.size == 1  # one rank is no grid
    expected = train(MPI.COMM_SELF, shards, alone, partial(local_mode, exact=exact))
    assert_equal_runs(train(comm, shards, settings), expected)


DECOUPLED = replace(BASE, decoupled=True, input_dropout=0.2, chunks=3)


@pytest.mark.parametrize(
    ("graph", "model"),
    [("undirected", "gcn"), ("directed weighted", "gcn"), ("directed weighted", "gat")],
)
def test_decoupled_ranks_train_as_one_decoupled_process(comm, stores, graph, model):
    """The one process has GAT's attention as dense matrices (tests/propagation.py)."""
    settings = replace(DECOUPLED, model=model, overlap=comm.size > 1)
    settings = replace(settings, attention_dropout=0.3 if model == "gat" else 0.0)
    expected = train(MPI.COMM_SELF, stores[graph], replace(settings, overlap=False), local_mode)
    assert_equal_runs(train(comm, stores[graph], settings), expected)
    with open_session(stores[graph], settings, comm) as session:
        assert f"another model than {model.upper()}" in make_mode(session).exactness


@pytest.mark.parametrize(("model", "layers"), [("gcn", 2), ("gcn", 5), ("gat", 2), ("gat", 5)])
def test_a_decoupled_epoch_has_two_splits_and_two_joins(comm, stores, layers, model):
    """4 (1 - 1/P) N K numbers, whatever the layers, K = 12 classes; GAT: and 4 (P - 1) N scores."""
    settings = replace(BASE, model=model, decoupled=True, layers=layers, chunks=3)
    with open_session(stores["even"], settings, comm) as session:
        mode = make_mode(session)
        list(mode.epoch(0))
        trace.reset()
        list(mode.epoch(1))
        counts = trace.snapshot()
    dealt, scores = moved_bytes(comm, counts, "split", "join"), moved_bytes(comm, counts, *SCORES)
    assert dealt * comm.size == 4 * (comm.size - 1) * 396 * 12 * 4
    assert scores == 4 * (comm.size - 1) * 396 * 4 * (model == "gat")
    if comm.size > 1:
        calls = [lane["collectives"] for lane in counts.values()]
        num_calls = sum(c[name]["calls"] for c in calls for name in c if name in EXCHANGES)
        assert num_calls == (6 if model == "gat" else 4)
        assert not any("norms" in c for c in calls)


def assert_equal_runs(got, expected):
    """Losses to 1e-12, the first gradient to 1e-10, parameters and logits after all epochs."""
    losses, first, last, logits = got
    expected, gradient, parameters, rows = expected
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert losses[-1] < losses[0]
    for name, grad in first.items():
        np.testing.assert_allclose(grad, gradient[name], rtol=1e-10, atol=1e-14, err_msg=name)
    np.testing.assert_allclose(last, parameters, rtol=1e-9, atol=1e-11)
    for vertex, row in logits.items():
        np.testing.assert_allclose(row, rows[vertex], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("model", "decoupled"), [("gcn", False), ("gat", False), ("gat", True)])
def test_chunks_overlap_and_given_back_pages_change_no_bit(
    comm, stores, model, decoupled, monkeypatch
):
    results = []
    for chunks, overlap, frugal in ((1, False, False), (7, True, False), (4, True, True)):
        monkeypatch.setattr("batchgnn.modes.tensor.is_frugal", lambda *_, frugal=frugal: frugal)
        settings = settings_of(model, "input dropout")
        settings = replace(settings, overlap=overlap, chunks=chunks, decoupled=decoupled)
        losses, _, last, _ = train(comm, stores["directed weighted"], settings, dtype=np.float32)
        results.append((losses, last))
    for losses, last in results[1:]:
        assert losses == results[0][0]
        np.testing.assert_array_equal(last, results[0][1])


def moved_bytes(comm, counts, *names):
    """Bytes of collectives over all ranks, on either thread."""
    lanes = [
        lane["collectives"].get(name, {"bytes": 0}) for lane in counts.values() for name in names
    ]
    return comm.allreduce(int(sum(each["bytes"] for each in lanes)))


def sent(num_vertices, width, num_ranks, item=4):
    """Bytes that all ranks send in one split or one join."""
    rows = np.diff(even_bounds(num_vertices, num_ranks))
    columns = np.diff(even_bounds(width, num_ranks))
    return int((rows * (width - columns)).sum()) * item


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("graph", ["undirected", "even"])
def test_bytes_are_those_of_the_formula(comm, stores, graph, chunks):
    """4 L (1 - 1/P) N d bytes, where all widths are d = 12 and P divides both N and d."""
    settings = replace(BASE, model="gcn", hidden=12, chunks=chunks, aggregate_cache="off")
    n, widths = GRAPHS[graph]["num_vertices"], [12, 12, GRAPHS[graph].get("num_classes", 4)]
    with open_session(stores[graph], settings, comm) as session:
        mode = make_mode(session)
        trace.reset()
        list(mode.epoch(0))
        counts = trace.snapshot()
    got = moved_bytes(comm, counts, "split", "join")
    assert got == sum(4 * sent(n, width, comm.size) for width in widths)
    if graph == "even":
        assert got * comm.size == 4 * 3 * (comm.size - 1) * n * 12 * 4


def test_bytes_with_a_kept_aggregate_leave_the_first_layer_out(comm, stores):
    settings = replace(BASE, model="sage", overlap=True)
    with open_session(stores["even"], settings, comm) as session:
        mode = make_mode(session)
        trace.reset()
        list(mode.epoch(0))
        counts = trace.snapshot()
    assert moved_bytes(comm, counts, "split", "join") == 4 * (
        sent(396, 14, comm.size) + sent(396, 12, comm.size)
    )


@pytest.mark.parametrize("heads", [2, 7])
def test_bytes_of_attention(comm, stores, heads):
    """Whole heads for each rank: their columns and scores are dealt; else all get all scores."""
    settings = replace(BASE, model="gat", heads=heads, layers=2)
    with open_session(stores["even"], settings, comm) as session:
        mode = make_mode(session)
        trace.reset()
        list(mode.epoch(0))
        counts = trace.snapshot()
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
    assert moved_bytes(comm, counts, *SCORES) == scores
    assert moved_bytes(comm, counts, "split", "join") == dealt


def test_bytes_of_the_grid(comm, stores):
    """2 L halo rows x d of every part, and split and join inside the groups."""
    ways = 2 if comm.size == 4 else 1
    settings = replace(BASE, model="gcn", hidden=12, tensor_ways=ways, aggregate_cache="off")
    with open_session(stores["directed weighted"], settings, comm) as session:
        mode = make_mode(session)
        trace.reset()
        list(mode.epoch(0))
        counts = trace.snapshot()
        A = mode.graph.operators[0]
        halo = A.inner.num_halo if comm.size > 1 else 0  # one rank is no grid
        rows = np.array(comm.allgather(session.own.num_own)).reshape(-1, ways)
    halo = sum(comm.allgather(halo)[::ways])
    widths = [12, 12, 4]
    assert moved_bytes(comm, counts, "halo", "halo adjoint") == 2 * halo * sum(widths) * 4
    columns = np.array([np.diff(even_bounds(width, ways)) for width in widths])
    others = (rows[:, None, :] * (np.array(widths)[:, None] - columns)).sum()
    assert moved_bytes(comm, counts, "split", "join") == 4 * others * 4
    assert (halo > 0) == (comm.size > 1)
