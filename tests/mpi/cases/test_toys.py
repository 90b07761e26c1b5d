"""A mode and a task of one file and one row each: trained, stopped inside an epoch, resumed."""

from typing import NamedTuple

import numpy as np
import pytest
import toy_mode
import toy_task
from jobs import losses, result
from mpi.in_folder import trained
from mpi.together import ALIKE, by_vertex, mean_loss, on_one_rank, written
from mpi4py import MPI

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_inference, make_mode
from batchgnn.run.checkpoints import Checkpoints
from batchgnn.run.folder import RunFolder
from batchgnn.run.predict import predicted_rows
from batchgnn.run.session import load_best, open_session
from batchgnn.watch import interrupt

EPOCHS, SHARDS = 4, 5
DONE = (2, 3)
"Epochs and steps after which a run is stopped."
OPTIONS = {
    **{"mode": "toy", "layers": 2, "hidden": 16, "lr": 0.1, "epochs": EPOCHS},
    **{name: value for name, value in ALIKE.items() if name != "overlap"},
}


@pytest.fixture(autouse=True)
def _toys():
    with toy_mode.registered(), toy_task.registered():
        yield


@pytest.fixture(scope="module")
def shards(shared_folder):
    return written(shared_folder / "shards", SHARDS)


class Trained(NamedTuple):
    """How a run stands: losses of its epochs, and what its last checkpoint holds.

    times_seed: by original id of the vertices owned here; steps_here: of this rank
    """

    losses: list
    parameters: np.ndarray
    times_seed: dict
    steps_here: int
    shards: list


def train(comm, shards, out, *, resume=False, **options):
    """Train on all ranks of `comm`, to the end or until it is stopped."""
    settings = settings_of(OPTIONS | options)
    with trained(comm, shards, out, settings, resume=resume) as share:
        saved = Checkpoints(share.grid, RunFolder(out).checkpoints, 2)
        state = saved.read(share.manifest.fingerprint, share.own.ids, share.grid.rank)[1]
        return Trained(
            losses(out),
            state.replicated["parameters"],
            by_vertex(share, state.by_vertex["times_seed"].tolist()),
            int(state.by_trainer["steps_here"][0]),
            share.own.shards.tolist(),
        )


def stopped(patch, comm, *args, **options):
    """Train until rank 0 is asked to stop, which is after DONE."""
    calls = iter(range(DONE[0] * (SHARDS + 1) + DONE[1] - 1))  # one more at the end of an epoch
    with patch.context() as changed:
        if comm.rank == 0:
            changed.setattr(interrupt, "asked", lambda: (next(calls, None) is None, 0))
        return train(comm, *args, **options)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """A run on one rank that nothing stopped."""
    with toy_mode.registered():
        return on_one_rank(train)(shards, tmp_path_factory.mktemp("toy") / "run")


def test_a_mode_of_one_file_trains_alike_on_any_ranks(comm, shards, whole, shared_folder):
    out = shared_folder / "run"
    found = train(comm, shards, out)
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-5)
    assert found.losses[-1] < 0.7 * found.losses[0]
    np.testing.assert_allclose(found.parameters, whole.parameters, rtol=1e-4, atol=1e-5)
    assert result(out) | {"mode": "toy", "exactness": "exact; a toy", "toy": True} == result(out)
    with open_session(shards, settings_of(OPTIONS), comm) as share:
        load_best(share, out)
        found = share.evaluate(make_inference(share), "test")["test"]
        assert [(each.name, each.value) for each in found] == [
            ("accuracy", pytest.approx(result(out)["test_accuracy"]))
        ]


@pytest.mark.parametrize("way", ["fewer", "more"])
def test_a_run_stopped_in_an_epoch_goes_on_on_other_ranks_with_all_its_state(
    comm, shards, whole, shared_folder, monkeypatch, way
):
    """State by vertex is dealt anew; a trainer that was there before finds its own."""
    out, some = shared_folder / way, comm.Split(comm.rank > comm.size // 2)
    writers, readers = (comm, some) if way == "fewer" else (some, comm)
    here = comm.rank <= comm.size // 2
    steps_before = 0
    if way == "fewer" or here:
        before = stopped(monkeypatch, writers, shards, out)
        assert len(before.losses) == DONE[0]
        times = set().union(*writers.allgather(set(before.times_seed.values())))
        assert times == {0, DONE[0], DONE[0] + 1}
        steps_before = before.steps_here
    comm.Barrier()
    if way == "more" or here:
        found = train(readers, shards, out, resume=True)
        np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-5)
        np.testing.assert_allclose(found.parameters, whole.parameters, rtol=1e-4, atol=1e-5)
        assert found.times_seed.items() <= whole.times_seed.items()
        assert sum(readers.allgather(len(found.times_seed))) == len(whole.times_seed)
        left = sum((EPOCHS - DONE[0]) - (shard < DONE[1]) for shard in found.shards)
        assert found.steps_here == steps_before + left
    some.Free()


def test_a_task_of_one_file_is_trained_scored_and_predicted(comm, shards, shared_folder):
    out = shared_folder / "task"
    options = OPTIONS | {
        "mode": "fullgraph",
        "task": "first-or-not",
        "epochs": 20,
        "eval_every": 20,
    }
    with trained(comm, shards, out, settings_of(options)) as share:
        load_best(share, out)
        first = predicted_rows(share, "prediction")["is_first"]
        test = share.rows_of("test")["test"] & (share.own.label >= 0)
        right = (first == (share.own.label == 0))[test].sum()
        hits = comm.allreduce(int(right)) / comm.allreduce(int(test.sum()))
    ended = result(out)
    assert (ended["task"], ended["metric"], ended["higher_is_better"]) == (
        "first-or-not", "hits", True,
    )  # fmt: skip
    assert ended["test_hits"] == pytest.approx(hits)
    assert hits > 0.85
    with open_session(shards, settings_of(options), MPI.COMM_SELF) as share:
        mode = make_mode(share)
        alone = [mean_loss(MPI.COMM_SELF, mode.epoch(epoch)) for epoch in range(20)]
    np.testing.assert_allclose(losses(out), alone, rtol=1e-4)
    assert alone[-1] < 0.5 * alone[0]
