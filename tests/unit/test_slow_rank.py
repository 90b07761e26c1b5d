"""A warning names the rank that all others wait for, and only then."""

import pytest

from batchgnn.slow_rank import slow_rank


def line(*seconds, waiting=0.0):
    halves = [s / 2 for s in seconds]
    phases = {"forward": halves, "backward": halves, "allreduce": [waiting] * len(seconds)}
    return {"epoch": 4, "rank_phase_seconds": {"main": phases, "background": {}}}


def test_a_rank_ten_times_slower_is_named():
    said = slow_rank(line(2.0, 20.0, 2.2, 1.8), ["host a", "host b", "host c", "host d"])
    assert said.startswith(
        "batchgnn: rank 1 (host b) computed 20.0 s in epoch 4, the others about 2.1 s, and waited"
    )


@pytest.mark.parametrize(
    "seconds", [(2.0, 2.1, 4.0), (0.01, 0.02, 0.5), (1.0, 9.0), (5.0,), (0.0, 0.0, 0.0)]
)
def test_what_is_even_short_or_of_two_is_not(seconds):
    assert slow_rank(line(*seconds, waiting=30.0), ["host"] * len(seconds)) is None
