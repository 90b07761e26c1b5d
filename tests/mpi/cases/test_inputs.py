"""Vertices without features: made columns are as stored ones, trained rows as on one rank."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from jobs import arrays
from jobs import losses as losses_of
from mpi.in_folder import trained
from mpi.together import (
    ALIKE,
    WHOLE,
    assert_same_training,
    by_vertex,
    changed,
    counted_epoch,
    mean_loss,
    on_one_rank,
    sent_bytes,
    train_whole,
    wait_asleep,
    with_model,
)
from mpi4py import MPI

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_inference, make_mode
from batchgnn.run.predict import predict
from batchgnn.run.session import load_best, open_session

MODES = {
    "fullgraph": {"layers": 2},
    "tensor": {"layers": 2},
    "macrobatch": {"layers": 2, "fanouts": (4, 3), "batch_size": 60, "feature_cache": "1K"},
    "pipeline": {"layers": 4},
}
BASE = settings_of(mode="fullgraph", hidden=8, lr=0.01, dropout=0.3, **ALIKE)
GRAPH = learnable_graph(num_vertices=203, directed=True)


def stored(comm, path, features):
    """The shards of GRAPH with other features; the first rank writes them."""
    if comm.rank == 0 and not path.exists():
        shards_of(replace(GRAPH, features=features.astype(np.float32)), path)
    wait_asleep()
    return path


def losses(comm, shards, settings):
    """Of three epochs."""
    with open_session(shards, settings, comm) as session:
        mode, world = make_mode(session), session.grid.world
        return [mean_loss(world, mode.epoch(epoch)) for epoch in range(3)]


alone = on_one_rank(losses)


@pytest.mark.parametrize("mode", MODES)
def test_made_columns_train_as_if_they_were_stored(comm, shared_folder, mode):
    """The reference has them as features, on one rank."""
    degree = np.bincount(GRAPH.target, minlength=GRAPH.num_vertices)
    columns = {"constant": np.ones(len(degree)), "degree": np.log1p(degree)}
    bare = stored(comm, shared_folder / "bare", np.empty((len(degree), 0)))
    settings = changed(BASE, mode=mode, **MODES[mode])
    for name, column in columns.items():
        featured = stored(comm, shared_folder / name, column[:, None])
        found = losses(comm, bare, changed(settings, inputs=name))
        np.testing.assert_allclose(found, alone(featured, settings), rtol=2e-5, err_msg=name)


EMBEDDED = changed(WHOLE, layers=2, inputs="embedding", input_width=6)
TRAINED = {
    "sage": {"norm": "layer", "overlap": True},
    "gat": {"optimizer": "sgd"},
    "gcnii": {"layers": 3},
    "gin": {"mode": "tensor"},
}
train_alone = on_one_rank(train_whole)


@pytest.fixture
def bare(comm, shared_folder):
    return stored(comm, shared_folder / "bare", np.empty((GRAPH.num_vertices, 0)))


@pytest.mark.parametrize("model", TRAINED)
def test_trained_rows_train_as_on_one_rank(comm, bare, model):
    """In float64; logits by vertex are of the rows that their owners moved."""
    settings = changed(EMBEDDED, model=model, **TRAINED[model])
    expected = train_alone(bare, changed(settings, overlap=False))
    assert_same_training(train_whole(comm, bare, settings), expected, rtol=1e-8)


def moved_rows(comm, shards):
    """Rows of own vertices by original id after two epochs, as they began, and bytes of halo rows
    and of their gradients in the second beside what is expected."""
    with open_session(shards, changed(EMBEDDED, model="gcn"), comm) as session:
        mode = make_mode(with_model(session, np.float64))
        begun = by_vertex(session, session.table.rows.copy())
        list(mode.epoch(0))
        counts = counted_epoch(mode, 1)
        sent = [sent_bytes(session.grid.world, counts, n) for n in ("halo", "halo adjoint")]
        halo = mode.counts()["halo_rows"]
        assert session.table.rows.shape == (session.own.num_own, 6)
        assert sent == [8 * halo * (6 + 4)] * 2  # widths 6 and 4 travel, both ways
        return begun, by_vertex(session, session.table.rows)


rows_alone = on_one_rank(moved_rows)


def test_owners_alone_move_their_rows_which_begin_alike(comm, bare):
    """An optimiser step sends no row but those of the halo and their gradients."""
    begun, moved = moved_rows(comm, bare)
    begun_alone, moved_alone = rows_alone(bare)
    assert len(begun_alone) == GRAPH.num_vertices == comm.allreduce(len(begun))
    for vertex, row in begun.items():
        np.testing.assert_array_equal(row, begun_alone[vertex])
        np.testing.assert_allclose(moved[vertex], moved_alone[vertex], rtol=1e-9, atol=1e-13)


SAMPLED_ROWS = {
    "sage": {"dropout": 0.3, "overlap": True},
    "gcn": {"optimizer": "sgd", "topology": "node-shared"},
    "gat": {"norm": "layer", "macrobatch": 1},
}
SAMPLES = {"mode": "macrobatch", "fanouts": (4, 3), "batch_size": 30, "macrobatch": 3}


def train_rows(comm, shards, settings):
    """Of three epochs in float64: losses, and rows of own vertices by original id."""
    with open_session(shards, settings, comm) as session:
        mode = make_mode(with_model(session, np.float64))
        losses = [mean_loss(session.grid.world, mode.epoch(epoch)) for epoch in range(3)]
        assert session.table.rows.shape == (session.own.num_own, 6)
        return losses, by_vertex(session, session.table.rows)


train_rows_alone = on_one_rank(train_rows)


def assert_same_rows(got, expected):
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-11)
    for vertex, row in got[1].items():
        np.testing.assert_allclose(row, expected[1][vertex], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("model", SAMPLED_ROWS)
def test_rows_that_samples_meet_are_trained_as_on_one_rank(comm, bare, model):
    """Each step reads what the one before has moved, of all ranks."""
    settings = changed(EMBEDDED, model=model, **SAMPLES | SAMPLED_ROWS[model])
    expected = train_rows_alone(bare, changed(settings, overlap=False, macrobatch=2))
    assert_same_rows(train_rows(comm, bare, settings), expected)


def test_a_batch_of_all_seeds_and_neighbours_moves_rows_as_the_whole_graph_does(comm, bare):
    every = {"fanouts": (-1, -1), "batch_size": GRAPH.num_vertices}
    found = train_rows(comm, bare, changed(EMBEDDED, **SAMPLES | every))
    assert_same_rows(found, train_rows_alone(bare, EMBEDDED))


def test_a_step_of_samples_sends_its_rows_and_their_gradients_alone(comm, bare):
    """Each row of 6 numbers there and back, once a step for a rank that owns it not."""
    with open_session(bare, changed(EMBEDDED, **SAMPLES), comm) as session:
        mode = make_mode(with_model(session, np.float64))
        counts = counted_epoch(mode)
        names = ("input rows ids", "input rows", "input rows adjoint")
        ids, *rows = (sent_bytes(session.grid.world, counts, name) for name in names)
        assert rows == [8 * 6 * ids // 4] * 2
        assert mode.counts()["remote_input_rows"] == ids // 4


@pytest.mark.parametrize("mode", ["fullgraph", "macrobatch"])
def test_a_run_with_trained_rows_is_resumed_and_predicted_on_other_ranks(
    comm, bare, shared_folder, mode
):
    settings = changed(EMBEDDED, epochs=2, checkpoint_seconds=0)
    if mode == "macrobatch":
        settings = changed(settings, **SAMPLES)
    run, whole = shared_folder / f"run-{mode}", shared_folder / f"whole-{mode}"
    with trained(comm, bare, run, settings):
        pass
    longer = changed(settings, epochs=4)
    if comm.rank == 0:
        with trained(MPI.COMM_SELF, bare, run, longer, resume=True):
            pass
        with trained(MPI.COMM_SELF, bare, whole, longer):
            pass
        np.testing.assert_allclose(losses_of(run), losses_of(whole), rtol=1e-5)
    wait_asleep()
    predict(run, run.with_suffix(".h5"))
    if comm.rank == 0:
        with open_session(bare, changed(longer, mode="fullgraph"), MPI.COMM_SELF) as share:
            load_best(share, whole)
            expected = make_inference(share).logits()
            at = np.argsort(share.own.original_id)
        found = arrays(run.with_suffix(".h5"))["probability"]
        np.testing.assert_array_equal(found.argmax(axis=1), expected[at].argmax(axis=1))
    wait_asleep()
