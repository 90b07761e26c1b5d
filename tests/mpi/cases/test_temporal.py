"""Training on events: slices of a batch, copies of memories, a stop in an epoch, protocols."""

import h5py
import numpy as np
import pytest
from jobs import losses, result
from mpi.in_folder import trained
from mpi.together import on_one_rank
from mpi4py import MPI

from batchgnn.base.errors import ConfigError
from batchgnn.data.event_stream import StreamOptions, generate_events
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_inference, make_mode
from batchgnn.partition.partition import partition
from batchgnn.run.checkpoints import Checkpoints
from batchgnn.run.folder import RunFolder
from batchgnn.run.predict import predict
from batchgnn.run.session import load_best, open_session
from batchgnn.watch import interrupt

EPOCHS, STEPS, NUM_VERTICES = 3, 17, 60
OPTIONS = {
    **{"mode": "temporal", "state_width": 16, "time_width": 8, "batch_size": 50, "lr": 0.005},
    **{"epochs": EPOCHS, "eval_negatives": 5, "recent": 4, "threads": 1, "eval_every": EPOCHS},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The same bytes on every rank, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("events")
    options = StreamOptions(
        vertices=NUM_VERTICES, sources=40, events=1200, features=2, repeat=0.9, eras=1, exponent=0.5
    )
    generate_events(folder / "g.h5", options, show=False)
    partition(folder / "g.h5", folder / "s", "random", 4, 0)
    return folder / "s"


def train(comm, shards, out, *, resume=False, **options):
    """Train on all ranks of `comm`; (losses, memories of all vertices by the last checkpoint)."""
    settings = settings_of(OPTIONS | options)
    with trained(comm, shards, out, settings, resume=resume) as share:
        saved = Checkpoints(share.grid, RunFolder(out).checkpoints, 2)
        everyone = np.arange(NUM_VERTICES)
        state = saved.read(share.manifest.fingerprint, everyone, share.grid.rank)[1]
        return losses(out), state.by_vertex or state.by_trainer


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """(losses, memories, result) of a run on one rank that nothing stopped."""
    return trained_alone(shards, tmp_path_factory.mktemp("whole") / "run")


@on_one_rank
def trained_alone(comm, shards, out, **options):
    return *train(comm, shards, out, **options), result(out)


def test_slices_of_a_batch_are_one_batch(comm, shards, whole, shared_folder):
    expected, memories, told = whole
    found, kept = train(comm, shards, shared_folder / "slices")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[-1] < found[0]
    for name, rows in memories.items():
        np.testing.assert_allclose(kept[name], rows, rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(kept["mail"], memories["mail"])
    mine = result(shared_folder / "slices")
    assert (mine["task"], mine["metric"], mine["exactness"]) == ("events", "mrr", "exact")
    assert mine["ways"] == [comm.size, 1, 1]
    for name in ("test_mrr", "test_ap", "test_roc-auc", "val_mrr"):
        assert mine[name] == pytest.approx(told[name], abs=0.01)
    assert mine["events_per_second"] > 0


def test_slices_of_a_batch_are_one_batch_over_two_hops(comm, shards, shared_folder, tmp_path):
    options = {"state_layers": 2, "epochs": 1, "eval_every": 1, "recent": 3}
    expected, memories, told = trained_alone(shards, tmp_path / "alone", **options)
    found, kept = train(comm, shards, shared_folder / "hops", **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(kept["memory"], memories["memory"], rtol=1e-3, atol=1e-4)
    assert result(shared_folder / "hops")["test_mrr"] == pytest.approx(told["test_mrr"], abs=0.01)


def test_memories_are_the_same_bits_wherever_they_lie(comm, shards, shared_folder):
    """Dealt to ranks, or in a window of the host: losses, memories, scores; also by copies."""
    for ways in {(comm.size, 1, 1), (1, 1, comm.size)}:
        found = {}
        for where in ("shared", "dealt"):
            out = shared_folder / f"{where}{ways[0]}"
            found[where] = (
                *train(comm, shards, out, ways=ways, state_rows=where, epochs=1, eval_every=1),
                out,
            )
        assert found["shared"][0] == found["dealt"][0]
        for name, rows in found["shared"][1].items():
            np.testing.assert_array_equal(found["dealt"][1][name], rows, err_msg=name)
        scores = [result(each[2]) for each in found.values()]
        assert scores[0]["val_mrr"] == scores[1]["val_mrr"]


def test_a_run_stopped_in_an_epoch_goes_on_on_other_ranks(
    comm, shards, whole, shared_folder, monkeypatch
):
    """With its memories, which are state by vertex: to the bit on the same rank."""
    expected, memories, _ = whole
    out, calls = shared_folder / "stopped", iter(range(STEPS + 5))  # in the second epoch
    with monkeypatch.context() as changed:
        if comm.rank == 0:
            changed.setattr(interrupt, "asked", lambda: (next(calls, None) is None, 0))
        _, then = train(comm, shards, out)
    assert then["mail"].max() < memories["mail"].max()
    some = comm.Split(comm.rank > comm.size // 2)
    if comm.rank <= comm.size // 2:
        found, again = train(some, shards, out, resume=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        for name, rows in memories.items():
            np.testing.assert_allclose(again[name], rows, rtol=1e-3, atol=1e-4, err_msg=name)
        if comm.size == 1:
            assert found == expected
    some.Free()


def test_copies_walk_the_stream_from_other_places(comm, shards, shared_folder):
    """Without a learning rate each has the memories of a walk of its own; all end one epoch."""
    out = shared_folder / "copies"
    train(comm, shards, out, ways=(1, 1, comm.size), lr=1e-30, epochs=2, eval_every=2)
    assert result(out)["ways"] == [1, 1, comm.size]
    settings = settings_of(OPTIONS | {"lr": 1e-30})
    with open_session(shards, settings, MPI.COMM_SELF) as share:
        mode = make_mode(share)
        first = comm.rank * STEPS // comm.size
        for step in range(first, first + 2 * STEPS):
            mode.gradient(0, step % STEPS)
        walked = mode.states.arrays(np.arange(NUM_VERTICES))
    with open_session(shards, settings_of(OPTIONS), comm) as share:
        saved = Checkpoints(share.grid, RunFolder(out).checkpoints, 2)
        state = saved.read(share.manifest.fingerprint, share.own.ids, comm.rank)[1]
    if comm.size > 1:
        for name, rows in walked.items():
            np.testing.assert_array_equal(state.by_trainer[name], rows, err_msg=name)


def test_slots_take_turns_with_the_memories(comm, shards):
    """One batch a step, as on one rank: read by the slot whose turn it is, before it is told."""
    after, log = [], []
    with open_session(shards, settings_of(OPTIONS), MPI.COMM_SELF) as share:
        alone = make_mode(share)
        for step in range(STEPS):
            alone.gradient(0, step)
            after.append(alone.states.arrays(np.arange(NUM_VERTICES)))
    with open_session(shards, settings_of(OPTIONS, ways=(1, comm.size, 1)), comm) as share:
        mode = make_mode(share)
        read, tell = mode.slot.read, mode.states.tell
        mode.slot.read = lambda epoch, turn: (log.append(turn and turn.first), read(epoch, turn))
        mode.states.tell = lambda first, last: (log.append(-first), tell(first, last))[1]
        assert mode.num_steps == STEPS + comm.size - 1
        for step in range(mode.num_steps):
            mode.gradient(0, step)
            for name, rows in mode.states.arrays(np.arange(NUM_VERTICES)).items():
                expected = after[min(step, STEPS - 1)][name]
                np.testing.assert_array_equal(rows, expected, err_msg=name)
    turns = [50 * k if k % comm.size == comm.rank else None for k in range(STEPS)]
    assert log == [each for k in range(STEPS) for each in (turns[k], -50 * k)]


def test_slots_that_stop_in_an_epoch_go_on_with_what_they_had_read(
    comm, shards, shared_folder, monkeypatch
):
    """And learn: an epoch trains each batch so many times."""
    ways, calls = (1, comm.size, 1), iter(range(STEPS + comm.size + 4))  # in the second epoch
    expected, memories = train(comm, shards, shared_folder / "slots", ways=ways, epochs=2)
    assert expected[-1] < expected[0]
    assert result(shared_folder / "slots")["ways"] == [*ways]
    out = shared_folder / "slots-stopped"
    with monkeypatch.context() as changed:
        if comm.rank == 0:
            changed.setattr(interrupt, "asked", lambda: (next(calls, None) is None, 0))
        train(comm, shards, out, ways=ways, epochs=2)
    found, again = train(comm, shards, out, resume=True, ways=ways, epochs=2)
    # a checkpoint keeps the sum of all ranks' losses, so those of its epoch add up in another order
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    for name, rows in memories.items():
        np.testing.assert_array_equal(again[name], rows, err_msg=name)


def test_chosen_ways_make_up_the_ranks(comm, shards, shared_folder):
    train(comm, shards, shared_folder / "auto", ways=("auto",), epochs=1, eval_every=2)
    slices, ahead, copies = result(shared_folder / "auto")["ways"]
    assert slices * ahead * copies == comm.size


def test_replayed_scores_are_those_of_evaluate(comm, shards, tmp_path):
    """Memories that are replayed with the last weights are others than those carried over."""
    if comm.size > 1:
        return  # of one rank
    train(MPI.COMM_SELF, shards, tmp_path / "carry")
    train(MPI.COMM_SELF, shards, tmp_path / "replay", protocol="replay")
    carried, replayed = (result(tmp_path / name) for name in ("carry", "replay"))
    assert carried["test_ap"] != replayed["test_ap"]
    with open_session(shards, settings_of(OPTIONS), MPI.COMM_SELF) as share:
        load_best(share, tmp_path / "replay")
        scores = share.evaluate(make_inference(share), "test")["test"]
    assert {each.name: each.value for each in scores} == pytest.approx(
        {each.name: replayed[f"test_{each.name}"] for each in scores}
    )


def test_pairs_at_times_are_predicted_as_events_are_scored(comm, shards, shared_folder):
    """Those of the stream itself, by the user's ids; and one behind all of it."""
    run, file, out = (shared_folder / name for name in ("pairs", "pairs.npz", "pairs.h5"))
    train(comm, shards, run, epochs=1, eval_every=2)
    with open_session(shards, settings_of(OPTIONS), comm) as share:
        load_best(share, run)
        found = make_inference(share)
        logits, stream = found.of_splits("val")["val"][0], found.stream
        events = np.array(stream.split("val"))
        events = events[stream.first_at[events] == events]  # ties may fall into the batch before
        ends = (np.append(column[events], column[0]) for column in (stream.source, stream.target))
        names = dict(zip(("source", "target"), (stream.name[each] for each in ends), strict=True))
        expected = 1 / (1 + np.exp(-logits[events - stream.split("val").start]))
        if comm.rank == 0:
            np.savez(file, **names, time=np.append(stream.time[events], stream.time[-1] + 5))
        comm.Barrier()
    predict(run, out, shards=shards, pairs=file)
    with h5py.File(out) as written:
        chance = written["probability"][:]
    np.testing.assert_allclose(chance[:-1], expected, rtol=1e-4)
    assert 0 < chance[-1] < 1
    with pytest.raises(ConfigError, match="no such file"):
        predict(run, shared_folder / "other.h5", shards=shards, pairs=shared_folder / "none.npz")


@pytest.mark.parametrize("more", [(1, 1, 1), (0, 1, 0), (0, -1, 0)])
def test_ways_that_are_not_the_ranks_are_refused(comm, shards, more):
    ways = (comm.size + more[0], 1 + more[1], 1 + more[2])
    said = pytest.raises(ConfigError, match=f"take --ways {comm.size} 1 1")
    with said, open_session(shards, settings_of(OPTIONS, ways=ways), comm):
        pass
