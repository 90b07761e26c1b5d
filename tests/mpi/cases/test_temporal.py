"""Training on events: stopped in an epoch and resumed, memories and all; both protocols."""

import numpy as np
import pytest
from jobs import losses, result
from mpi.in_folder import trained
from mpi4py import MPI

from batchgnn.base.errors import ConfigError
from batchgnn.data.event_stream import StreamOptions, generate_events
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_inference, make_mode
from batchgnn.partition.partition import partition
from batchgnn.run.checkpoints import Checkpoints
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import load_best, open_session
from batchgnn.watch import interrupt

EPOCHS, STEPS = 3, 17
OPTIONS = {
    **{"mode": "temporal", "state_width": 16, "time_width": 8, "batch_size": 50, "lr": 0.005},
    **{"epochs": EPOCHS, "eval_negatives": 5, "recent": 4, "threads": 1, "eval_every": EPOCHS},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    options = StreamOptions(
        vertices=60, sources=40, events=1200, features=2, repeat=0.9, eras=1, exponent=0.5
    )
    generate_events(folder / "g.h5", options, show=False)
    partition(folder / "g.h5", folder / "s", "random", 3, 0)
    return folder / "s"


def train(shards, out, *, resume=False, **options):
    """Train on this rank alone; (losses, memories that the last checkpoint holds)."""
    settings = settings_of(OPTIONS | options)
    with trained(MPI.COMM_SELF, shards, out, settings, resume=resume) as share:
        saved = Checkpoints(share.grid, RunFolder(out).checkpoints, 2)
        state = saved.read(share.manifest.fingerprint, share.own.ids, 0)[1]
        return losses(out), state.by_vertex


def test_a_run_stopped_in_an_epoch_goes_on_with_its_memories(comm, shards, tmp_path, monkeypatch):
    expected, memories = train(shards, tmp_path / "whole")
    calls = iter(range(STEPS + 5))  # in the second epoch
    with monkeypatch.context() as changed:
        changed.setattr(interrupt, "asked", lambda: (next(calls, None) is None, 0))
        _, then = train(shards, tmp_path / "run")
    assert set(then["mail"]) != set(memories["mail"])
    found, again = train(shards, tmp_path / "run", resume=True)
    assert found == expected
    assert found[-1] < found[0]
    for name, rows in memories.items():
        np.testing.assert_array_equal(again[name], rows, err_msg=name)
    told = result(tmp_path / "whole")
    assert (told["task"], told["metric"], told["exactness"]) == ("events", "mrr", "exact")
    assert {"test_mrr", "test_ap", "test_roc-auc", "events_per_second"} <= set(told)


def test_replayed_scores_are_those_of_evaluate(comm, shards, tmp_path):
    """Memories that are replayed with the last weights are others than those carried over."""
    train(shards, tmp_path / "carry")
    train(shards, tmp_path / "replay", protocol="replay")
    carried, replayed = (result(tmp_path / name) for name in ("carry", "replay"))
    assert carried["test_ap"] != replayed["test_ap"]
    with open_session(shards, settings_of(OPTIONS), MPI.COMM_SELF) as share:
        load_best(share, tmp_path / "replay")
        scores = share.evaluate(make_inference(share), "test")["test"]
    assert {each.name: each.value for each in scores} == pytest.approx(
        {name: replayed[f"test_{name}"] for name in ("mrr", "ap", "roc-auc", "mrr-worst")}
    )


def test_several_ranks_are_refused(comm, shards):
    with open_session(shards, settings_of(OPTIONS), comm) as share:
        if comm.size == 1:
            assert make_mode(share).num_steps == STEPS
            return
        with pytest.raises(ConfigError, match=f"one rank, and {comm.size} were started"):
            make_mode(share)
