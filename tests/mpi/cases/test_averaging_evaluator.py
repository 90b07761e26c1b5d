"""`--evaluator`: ranks that do not train, and evaluate the last mean while the others go on."""

import threading

import numpy as np
import pytest
from jobs import losses, metrics, result
from mpi.in_folder import trained, trained_in_two
from mpi.together import SAMPLED, changed, mean_loss, on_few_ranks, written

from batchgnn.base.errors import BatchGNNError
from batchgnn.modes.averaging.evaluator import Evaluation
from batchgnn.modes.mode import Earlier
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

BASE = changed(SAMPLED, mode="averaging", round="2steps", batch_size=30, epochs=5)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    return written(shared_folder / f"shards-{request.param}", 8, directed=request.param)


@pytest.fixture(params=[1, 2], ids=["evaluator of 1 rank", "evaluator of 2 ranks"])
def groups(request, comm):
    """(ranks of a trainer, trainers) of the ranks there are; skips where there are too few."""
    width = request.param
    if comm.size % width or comm.size == width:
        pytest.skip(f"{comm.size} ranks are no groups of {width}")
    return width, comm.size // width - 1


def rounds_of(comm, shards, settings, count=4):
    """Of each round: its mean loss, the parameters after it, and what was evaluated then."""
    with open_session(shards, settings, comm) as share:
        mode, found = make_mode(share), []
        for number in range(count):
            loss = mean_loss(share.grid.world, mode.epoch(number))
            now = share.model.parameters.buffer.copy()
            found.append((loss, now, mode.evaluate()))
        return found


def scores_of(comm, shards, settings, parameters):
    """By all ranks together."""
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        share.model.parameters.buffer[:] = parameters
        return mode.evaluate()


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_trainers_train_as_without_and_scores_are_those_of_the_mean(comm, shards, groups, model):
    width, trainers = groups
    settings = changed(BASE, model=model, trainers=trainers)
    found = rounds_of(comm, shards, changed(settings, evaluator=True, epochs=4))
    expected = on_few_ranks(comm, trainers * width, lambda few: rounds_of(few, shards, settings))
    known = []
    for (loss, now, told), (wanted, after, _) in zip(found, expected, strict=True):
        assert loss == pytest.approx(wanted, rel=1e-5)
        np.testing.assert_allclose(now, after, rtol=1e-3, atol=1e-5)
        assert len(set(comm.allgather(now.tobytes()))) == 1
        known += told
    assert all(isinstance(each, Earlier) for each in known)
    assert [each.epoch for each in known] == sorted({each.epoch for each in known})
    assert known[0].epoch == 1
    assert known[-1].epoch == 4
    for each in known:
        assert (each.parameters == found[each.epoch - 1][1]).all()
        exact = scores_of(comm, shards, changed(settings, trainers=1), each.parameters)
        assert exact.keys() == each.scores.keys()
        for split, scores in exact.items():
            assert [s.name for s in scores] == [s.name for s in each.scores[split]]
            np.testing.assert_allclose(
                [s.value for s in each.scores[split]], [s.value for s in scores], rtol=1e-6
            )


def test_a_slow_evaluation_holds_no_round_up(comm, shards, groups, monkeypatch):
    """It ends when rounds have ended meanwhile; its scores are of the round that it was given."""
    _, trainers = groups
    scores, may_end = Evaluation._scores, threading.Event()

    def slow(self):
        assert may_end.wait(100)
        return scores(self)

    settings = changed(BASE, trainers=trainers, evaluator=True, epochs=1000)
    monkeypatch.setattr(Evaluation, "_scores", slow)
    with open_session(shards, settings, comm) as share:
        mode, told = make_mode(share), []
        for number in range(4):
            list(mode.epoch(number))
            told.append(mode.evaluate())
        assert told == [[]] * 4
        may_end.set()
        while not told[-1]:
            number += 1
            list(mode.epoch(number))
            told.append(mode.evaluate())
        assert told[-1][0].epoch == 1
        assert number >= 4


def test_a_round_of_seconds_ends_for_the_evaluator_too(comm, shards, groups):
    _, trainers = groups
    settings = changed(BASE, trainers=trainers, evaluator=True, round="1s", epochs=2)
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        for number in range(2):
            steps = len(list(mode.epoch(number)))
            mode.evaluate()
        counts = mode.counts()
        assert 0 < counts["fewest_steps"] <= counts["most_steps"]
        assert mode.trains or steps == 1


def test_a_run_keeps_the_best_round_and_goes_on_after_a_stop(comm, shards, groups, shared_folder):
    width, trainers = groups
    settings = changed(BASE, trainers=trainers, evaluator=True, checkpoint_seconds=0.0)
    out = shared_folder / f"run-{shards.name}-{width}"
    with trained(comm, shards, out, settings):
        pass
    told, lines = result(out), metrics(out)
    assert told["evaluator"]["ranks"] == list(range(comm.size - width, comm.size))
    assert len(told["trainers"]) == trainers
    assert told["evaluator"]["evaluations"] >= 1
    assert "val_accuracy" in lines[-1]
    assert "scored_epoch" not in lines[-1]
    for line in lines[:-1]:
        assert ("val_accuracy" in line) == ("scored_epoch" in line)
        assert line.get("scored_epoch", 0) < line["epoch"]
    again = trained_in_two(comm, shards, out.with_name(f"{out.name}-again"), settings, epochs=2)
    assert losses(again) == losses(out)


def test_too_few_ranks_are_refused(comm, shards):
    settings = changed(BASE, trainers=comm.size, evaluator=True)
    with (
        pytest.raises(BatchGNNError, match=r"and --evaluator: .* cannot be parted among"),
        open_session(shards, settings, comm),
    ):
        pass
