"""Labels of events and of vertices on ranks: the numbers of one, frozen rows, no later label."""

import numpy as np
import pytest
from event_streams import random_events, stored
from jobs import losses, result
from mpi.in_folder import trained
from mpi.together import on_one_rank
from mpi4py import MPI

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_inference, make_mode
from batchgnn.partition.partition import partition
from batchgnn.run.session import load_best, open_session
from batchgnn.run.trained import with_trained
from batchgnn.store.events import FEATURES, LABEL, SOURCE
from batchgnn.store.model_file import read_model

SIZE = 25
OPTIONS = {
    **{"mode": "temporal", "state_width": 8, "time_width": 4, "recent": 3, "batch_size": SIZE},
    **{"lr": 0.02, "epochs": 4, "eval_every": 4, "threads": 1},
}
OF_EVENTS = OPTIONS | {"eval_negatives": 3}


def columns():
    """A source's class shows in the features of its events; some events have no label."""
    found = random_events(num_vertices=30, num_events=500, num_features=2, num_classes=2)
    known = found[LABEL] >= 0
    found[LABEL][known] = found[SOURCE][known] % 2
    found[FEATURES][:, 0] += 3 * (found[SOURCE] % 2)
    return found


def cut(folder, columns):
    graph = stored(folder / "g.h5", columns, num_vertices=30)
    partition(graph, folder / "s", "random", 4, 0)
    return folder / "s"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The same bytes on every rank, each in a folder of its own."""
    return cut(tmp_path_factory.mktemp("labels"), columns())


@on_one_rank
def alone(comm, shards, out, **options):
    return run(comm, shards, out, options)


def run(comm, shards, out, options):
    """(losses, result) of a run."""
    with trained(comm, shards, out, settings_of(options)):
        return losses(out), result(out)


def test_labels_of_events_are_learned_alike_on_any_ranks(comm, shards, shared_folder, tmp_path):
    options = OPTIONS | {"task": "event-labels", "metric": "roc-auc"}
    expected, told = alone(shards, tmp_path / "alone", **options)
    found, mine = run(comm, shards, shared_folder / "together", options)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=2e-3)  # rounding grows from step to step
    assert found[-1] < found[0]
    assert mine["metric"] == "roc-auc"
    for name in ("micro-f1", "macro-f1", "roc-auc"):
        assert mine[f"test_{name}"] == pytest.approx(told[f"test_{name}"], abs=0.03)
    assert mine["test_roc-auc"] > 0.7
    assert "mrr_along" not in mine


def test_labels_of_vertices_are_learned_from_the_frozen_rows_of_a_run(
    comm, shards, shared_folder, tmp_path
):
    """Of which nothing decays; its options are taken, and evaluate needs it no more."""
    before = shared_folder / "before"
    run(comm, shards, before, OF_EVENTS)
    given = {"mode": "temporal", "task": "vertex-labels", "trained": str(before), "lr": 0.02}
    given |= {"epochs": 4, "eval_every": 4, "threads": 1, "weight_decay": 0.01}
    options = with_trained(given)
    assert (options["state_width"], options["recent"], options["batch_size"]) == (8, 3, SIZE)
    out = shared_folder / "labels"
    found, mine = run(comm, shards, out, options)
    expected, told = alone(shards, tmp_path / "alone", **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[-1] < found[0]
    assert mine["test_roc-auc"] == pytest.approx(told["test_roc-auc"], abs=0.02)
    with open_session(shards, settings_of(options), comm) as share:
        load_best(share, out)
        head = min(share.model.parameters.layout[name][0] for name in share.task.head())
        kept, were = (read_model(path / "model.h5").parameters for path in (out, before))
        np.testing.assert_array_equal(kept[:head], were[:head])
        scores = share.evaluate(make_inference(share), "test")["test"]
        for each in scores:
            assert each.value == pytest.approx(mine[f"test_{each.name}"], abs=1e-6)
    with pytest.raises(ConfigError, match=r"--recent 4: .* was trained with 3: leave it out"):
        run(comm, shards, shared_folder / "wrong", options | {"recent": 4})


def test_a_run_on_other_shards_gives_no_rows(comm, shards, shared_folder, tmp_path):
    before, other = shared_folder / "other", columns()
    run(comm, shards, before, OF_EVENTS | {"epochs": 1, "eval_every": 1})
    other[LABEL][0] = (other[LABEL][0] + 2) % 3 - 1
    given = {"mode": "temporal", "task": "vertex-labels", "trained": str(before), "threads": 1}
    with pytest.raises(StoreError, match="was trained on shards"):
        run(comm, cut(tmp_path, other), shared_folder / "never", with_trained(given))


@pytest.mark.parametrize("first", [150, 350])
def test_later_labels_do_not_change_a_step(comm, shards, first, tmp_path):
    """Of training events, in the steps before theirs; of others, in any."""
    if comm.size > 1:
        return  # of one rank
    other, kept = columns(), []
    other[LABEL][first:] = 1 - np.maximum(other[LABEL][first:], 0)
    for each in (shards, cut(tmp_path, other)):
        settings = settings_of(OPTIONS, task="event-labels")
        with open_session(each, settings, MPI.COMM_SELF) as share:
            mode = make_mode(share)
            told = []
            for step in range(mode.num_steps):
                told.append(mode.gradient(0, step)[0])
                mode.optimizer.step()
            kept.append(told)
    changed = [a != b for a, b in zip(*kept, strict=True)]
    assert changed == [SIZE * step >= first for step in range(len(changed))]
