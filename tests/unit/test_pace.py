"""A rank that all others wait for says so itself while it happens, and only then."""

import itertools

import pytest

from batchgnn.watch import pace, trace
from batchgnn.watch.pace import AGAIN_S, LOOK_S, Pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(trace, "where", lambda: "after epoch 2 step 7, at collective 31, gradient")
    return now


def said_by(clock, mine_s, others_s, *, steps=1000, step_s=1.0):
    """(second, warning) of each warning of a rank whose steps take so long."""
    pace, begin, found = Pace(1, 1 + len(others_s), "host b"), clock[0], []
    for _ in range(steps):
        clock[0] += step_s
        if note := pace.step(mine_s, mine_s + sum(others_s)):
            found.append((clock[0] - begin, note))
    return found


def test_a_rank_ten_times_slower_says_so_within_ten_seconds_of_the_first_step(clock):
    found = said_by(clock, 0.9, [0.09, 0.1, 0.08], steps=300)
    assert [second for second, _ in found] == [1 + LOOK_S]
    assert found[0][1] == (
        "batchgnn: rank 1 (host b) computed 9.0 of the last 10 s, the other ranks 0.9 s, and "
        "waited for it: after epoch 2 step 7, at collective 31, gradient. Look at what else runs "
        "on its cores: batchgnn doctor, under mpirun."
    )


def test_it_says_so_again_after_some_minutes_only(clock):
    seconds = [second for second, _ in said_by(clock, 0.9, [0.1])]
    assert len(seconds) == 4
    assert all(b - a >= AGAIN_S for a, b in itertools.pairwise(seconds))


def test_steps_longer_than_the_time_are_compared_one_by_one(clock):
    assert said_by(clock, 60.0, [6.0, 6.0], steps=2, step_s=66.0)[0][0] == 2 * 66.0


@pytest.mark.parametrize(
    ("mine_s", "others_s"),
    [(0.4, [0.2, 0.21]), (0.05, [0.001, 0.002]), (0.1, [0.9, 0.1]), (0.9, []), (0.0, [0.0])],
    ids=["even", "little", "another is slow", "alone", "nothing"],
)
def test_otherwise_it_is_silent(clock, mine_s, others_s):
    assert said_by(clock, mine_s, others_s) == []


def test_the_first_step_does_not_count(clock):
    pace = Pace(0, 2, "host a")
    clock[0] += 30
    assert pace.step(30.0, 31.0) is None
    clock[0] += LOOK_S
    assert pace.step(1.0, 2.0) is None
