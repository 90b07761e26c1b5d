"""Ranks agree on what they go on from when others are gone; late trainers of rounds of steps."""

import time

import numpy as np
import pytest
from mpi.together import SAMPLED, changed, written

from batchgnn.modes.open import make_mode
from batchgnn.run.kept import Kept, average
from batchgnn.run.session import open_session
from batchgnn.run.training_state import TrainingState
from batchgnn.store.mode_state import ModeState


def kept(parameters, *, means, epoch, weight=1.0, before_end=None):
    state = TrainingState(np.zeros(2), epoch=epoch)
    of_mode = ModeState(scalars={"rounds": means})
    return Kept(state, before_end, np.asarray(parameters, float), of_mode, weight)


def end_epoch(comm, mine):
    mine.end_epoch(comm, comm.allgather((mine.num_means, mine.state.epoch)))


def test_a_round_that_nobody_has_averaged_is_by_the_weights_that_are_left(comm):
    weights = np.arange(comm.size) + 1.0
    mine = kept([comm.rank, 5.0], means=3, epoch=3, weight=weights[comm.rank])
    end_epoch(comm, mine)
    mean = (weights * np.arange(comm.size)).sum() / weights.sum()
    np.testing.assert_allclose(mine.parameters, [mean, 5.0], rtol=1e-12)
    assert (mine.num_means, mine.state.epoch) == (4, 3)


def test_a_mean_that_some_ranks_have_is_all_ranks(comm):
    """The first rank has it, the others were still in it."""
    first = comm.rank == 0
    mine = kept([7.0] if first else [comm.rank], means=3 + first, epoch=3)
    end_epoch(comm, mine)
    assert mine.parameters == 7.0
    assert (mine.num_means, mine.state.epoch) == (4, 3)


def test_ranks_that_have_begun_the_next_round_go_back_to_the_mean(comm):
    """The last rank has ended its epoch and taken a step; alone, it has none to go back to."""
    ahead = comm.rank == comm.size - 1 and comm.size > 1
    before = TrainingState(np.zeros(2), epoch=3, loss_sum=2.5)
    mine = kept([9.0] if ahead else [7.0], means=4, epoch=3 + ahead, before_end=before)
    end_epoch(comm, mine)
    assert mine.parameters == 7.0
    assert (mine.num_means, mine.state.epoch, mine.state.loss_sum) == (4, 3, 2.5)


def test_parameters_that_are_not_finite_do_not_count(comm):
    parameters = np.array([np.nan if comm.rank == 0 else 3.0])
    average(comm, parameters, 1.0)
    assert (parameters == 3.0) == (comm.size > 1)


def test_a_round_of_steps_does_not_wait_for_a_late_trainer_longer_than_the_deadline(
    comm, shared_folder
):
    shards = written(shared_folder / "shards", 8)
    settings = changed(SAMPLED, mode="averaging", round="20steps", batch_size=20)
    settings = changed(settings, straggler_deadline=0.3)
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        for number in range(2):  # the first compiles
            for _ in mode.epoch(number):
                if number and comm.rank == comm.size - 1:
                    time.sleep(0.5)
        counts, parameters = mode.counts(), share.model.parameters.buffer.tobytes()
        assert counts["most_steps"] == 20
        assert counts["fewest_steps"] < 20 or comm.size == 1
        assert len(set(comm.allgather(parameters))) == 1
        mode.deadline_s = None
        for _ in mode.epoch(2):
            pass
        assert mode.counts()["fewest_steps"] == pytest.approx(20)
