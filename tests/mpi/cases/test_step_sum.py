"""The sum of a gradient and the words beside it, on any number of ranks."""

import time

import numpy as np

from batchgnn.comm.step_sum import StepSum, message_bytes
from batchgnn.watch import interrupt, trace


def test_a_gradient_is_summed_in_place_and_words_travel_in_its_message(comm, monkeypatch):
    ranks = np.arange(1, comm.size + 1)
    grad = np.arange(5, dtype=np.float32) * ranks[comm.rank]
    step_sum = StepSum(comm, grad)
    monkeypatch.setattr(interrupt, "asked", lambda: (1, int(comm.rank == 0)))
    trace.reset()
    trace.computed_s()
    time.sleep(0.05 * ranks[comm.rank])
    words = step_sum(0.5)
    np.testing.assert_array_equal(grad, np.arange(5) * ranks.sum())
    assert words[:2] == (comm.size, 1)
    each_s = comm.allgather(words.own_s)
    np.testing.assert_array_less(0.05 * ranks, each_s)
    np.testing.assert_allclose(words.all_s, sum(each_s), rtol=1e-6)
    counted = trace.snapshot().get("main", {}).get("collectives", {})
    expected = {} if comm.size == 1 else {"gradient": (1, message_bytes(grad))}
    assert {name: (c["calls"], c["bytes"]) for name, c in counted.items()} == expected


def test_words_are_said_anew_at_every_step(comm):
    grad = np.ones(3, np.float32)
    step_sum = StepSum(comm, grad)
    first, second = step_sum(0.5), step_sum(0.5)
    np.testing.assert_array_equal(grad, np.full(3, comm.size**2))
    assert first[:2] == second[:2] == (0, 0)


def test_all_ranks_know_of_one_loss_or_gradient_that_is_not_finite(comm):
    is_last = comm.rank == comm.size - 1
    for loss, element, num_bad in [(np.nan, 1.0, 1), (np.inf, 1.0, 1), (0.5, np.nan, 0)]:
        grad = np.ones(3, np.float32)
        grad[1] = element if is_last else 1.0
        words = StepSum(comm, grad)(loss if is_last else 0.5)
        assert (words.num_bad, words.is_finite) == (num_bad, False)


def test_a_gradient_whose_square_overflows_is_finite(comm):
    words = StepSum(comm, np.full(3, 1e30, np.float32))(1e300)
    assert words.is_finite
