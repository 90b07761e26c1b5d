"""Layers on different ranks: to the bit as on one, which tests/unit/test_pipeline.py holds to
what it should be; exact where it has to be, and bytes.
"""

import json
from functools import partial

import numpy as np
import pytest
from mpi.in_folder import trained
from mpi.together import (
    changed,
    counted_epoch,
    mean_loss,
    on_one_rank,
    sent_bytes,
    train_whole,
    wait_asleep,
    written,
)
from mpi4py import MPI
from pipelines import LAYERS, Opened, exact, exactly, settings_of

from batchgnn.modes.open import make_mode
from batchgnn.operators.history import ChunkedGraph
from batchgnn.plan.beside import plan_of
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import open_session
from batchgnn.watch import trace

train_alone, exactly_alone = on_one_rank(train_whole), on_one_rank(exactly)


@pytest.fixture(scope="module")
def stores(shared_folder):
    """Four chunks of a directed weighted graph, five of another."""
    return {
        "directed": written(shared_folder / "directed", 4, directed=True, num_vertices=101),
        "undirected": written(shared_folder / "undirected", 5, num_vertices=97),
    }


@pytest.mark.parametrize("model", ["gat", "gcnii"])
def test_the_first_epoch_after_an_exact_pass_goes_exactly_forward(comm, stores, model):
    """With dropout, and not so from rows of zeros."""
    losses = []
    for start in ("exact", "zero"):
        settings = settings_of(model, history_init=start)
        with open_session(stores["directed"], settings, comm) as session:
            losses.append(Opened(session).loss(0))
    expected, _ = exactly_alone(stores["directed"], settings)
    assert losses[0] == pytest.approx(expected, rel=1e-12)
    assert losses[1] != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("model", "every"), [("sage", 1), ("gat", 2)])
def test_fixed_weights_are_exact_after_k_l_epochs(comm, stores, model, every):
    """From rows of zeros, in any order of the chunks; the first epoch is far off."""
    none = {"dropout": 0.0, "attention_dropout": 0.0} if model == "gat" else {"dropout": 0.0}
    none |= {"input_dropout": 0.0, "history_every": every, "history_init": "zero"}
    settings = settings_of(model, **none)
    with open_session(stores["undirected"], settings, comm) as session:
        opened = Opened(session)
        losses = [opened.loss(epoch) for epoch in range(every * LAYERS + 1)]
    expected, _ = exactly_alone(stores["undirected"], settings)
    assert losses[-1] == pytest.approx(expected, rel=1e-12)
    assert losses[0] != pytest.approx(expected, rel=1e-6)


def test_stale_gradients_are_exact_at_a_fixed_point(comm, stores):
    settings = settings_of("gcn", gradient="stale", dropout=0.0, input_dropout=0.0)
    with open_session(stores["directed"], settings, comm) as session:
        opened = Opened(session)
        gradients = [opened.gradient(epoch) for epoch in range(LAYERS + 1)]
    _, expected = exactly_alone(stores["directed"], settings)
    np.testing.assert_allclose(gradients[-1], expected, rtol=1e-10, atol=1e-13)
    assert np.abs(gradients[0] - expected).max() > 1e-6


def with_an_empty_chunk(block, aggregation, bounds, **options):
    return ChunkedGraph(block, aggregation, np.insert(bounds, 2, bounds[2]), **options)


@pytest.mark.parametrize("model", ["sage", "gcn", "gat", "gcnii"])
def test_stages_change_no_bit(comm, stores, model, monkeypatch):
    """Layers in uneven runs, an empty chunk, dropout; with and without threads for messages; some
    layers are computed again on several ranks, and not on one.

    An exact pass before would add up in the order of the ranks.
    """
    if comm.size == 1:
        return
    monkeypatch.setattr("batchgnn.modes.pipeline.start.ChunkedGraph", with_an_empty_chunk)
    settings, found = settings_of(model, history_every=2, history_init="zero", lr=0.02), []
    for several, train in ((True, partial(train_whole, comm)), (False, train_alone)):
        here = {"overlap": several and model != "gcn", "recompute": several and model != "gin"}
        settings = changed(settings, **here)
        store = stores["undirected"]
        found.append(train(store, settings, dtype=np.float32, epochs=5))
    assert found[0].losses == found[1].losses
    np.testing.assert_array_equal(found[0].parameters, found[1].parameters)


def test_a_run_goes_on_in_other_stages(comm, stores, shared_folder):
    """Stopped between two histories; gradients of the epoch before count too."""
    settings = settings_of("sage", gradient="stale", history_every=3, guard_every=3, epochs=4)
    found = []
    for resumes in (False, True):
        out = shared_folder / f"run-{comm.size}-{resumes}"
        if resumes:
            with trained(comm, stores["directed"], out, changed(settings, epochs=2)):
                pass
            if comm.rank == 0:
                with trained(MPI.COMM_SELF, stores["directed"], out, settings, resume=True):
                    pass
            wait_asleep()
        else:
            with trained(comm, stores["directed"], out, settings):
                pass
        found.append(RunFolder(out).read_model().parameters)
        found.append([line["loss"] for line in RunFolder(out).read_metrics()])
    result = json.loads((out / "result.json").read_text())
    assert result["exactness"] == "approximate: rows up to 3 epochs old"
    assert sum(result["stages"]) == LAYERS
    guard = result["guard"]
    assert (guard["every"], guard["epoch"], guard["exact_from"]) == (3, 3, None)
    assert abs(guard["loss_gap"]) < 0.1
    assert found[1] == found[3]
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(("model", "overlap"), [("gcn", False), ("gcnii", True)])
def test_bytes_are_rows_between_stages_there_and_back(comm, stores, model, overlap):
    """2 (S - 1) N H numbers, whatever the halo; GCNII's first rows travel beside the others."""
    settings = settings_of(model, overlap=overlap)
    with open_session(stores["undirected"], settings, comm) as session:
        prediction, _ = plan_of(session, stores["undirected"])
        mode = make_mode(session)
        list(mode.epoch(0))
        counts = counted_epoch(mode, 1)
        num_bytes, num_calls = map(comm.allreduce, trace.sent())
    width = 10 * (1 + (model == "gcnii"))
    expected = 2 * (comm.size - 1) * 97 * width * 4
    assert sent_bytes(comm, counts, "stage rows", "stage gradients") == expected
    assert num_bytes == prediction.bytes
    assert num_calls == pytest.approx(comm.size * prediction.calls)


def test_rows_that_drift_are_seen_and_training_goes_on_exactly(comm, stores):
    """From the step of the reading on, in a resumed run too; before it the guard sees no gap."""
    settings = settings_of("sage", guard_every=1, gradient="drop")
    with open_session(stores["directed"], settings, comm) as session:
        opened = Opened(session)
        opened.loss(0)
        assert (opened.mode.exact_from, opened.mode.reading.epoch) == (0, 1)
        assert abs(opened.mode.reading.loss_gap) < 1e-12
        assert opened.mode.reading.disagreement == 0
        opened.make_wrong(100)
        losses = [mean_loss(comm, opened.mode.epoch(0))]
        assert opened.mode.exactness.endswith("old; exact from epoch 1 on")
        guard = opened.mode.totals()["guard"]
        assert guard["exact_from"] == 1
        assert max(guard["loss_gap"] / 0.1, guard["disagreement"] / 0.25) > 1
        state = opened.mode.state()
        again = make_mode(session)
        again.load(state)
        losses += [mean_loss(comm, again.epoch(epoch)) for epoch in (1, 2)]
    exactly = train_alone(stores["directed"], exact(settings), epochs=3)
    np.testing.assert_allclose(losses, exactly.losses, rtol=1e-10)
