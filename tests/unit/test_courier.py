"""What is posted is done in order, in a thread or at once, and fails where it is waited for."""

import threading

import pytest

from batchgnn.comm.courier import Courier
from batchgnn.watch import trace


def test_work_goes_on_while_the_caller_does():
    """The first work ends only after the caller went on; the second is done after it."""
    courier, went_on, done = Courier(enabled=True), threading.Event(), []
    first = courier.post(lambda: (went_on.wait(10), done.append(1)))
    second = courier.post(lambda: done.append(2) or "second")
    went_on.set()
    assert second.wait() == "second"
    first.wait()
    assert done == [1, 2]


def test_without_a_thread_it_is_done_at_once():
    courier, seen = Courier(enabled=False), []
    posted = courier.post(lambda: seen.append(threading.current_thread()) or 7)
    assert seen == [threading.main_thread()]
    assert posted.wait() == 7


def test_an_error_is_raised_where_it_is_waited_for():
    def fail():
        raise ValueError("lost")

    posted = Courier(enabled=True).post(fail)
    with pytest.raises(ValueError, match="lost"):
        posted.wait()


def test_it_counts_on_a_lane_of_its_own_and_waiting_as_a_phase():
    trace.reset()

    def exchange():
        with trace.collective("halo", "background", 8):
            pass

    Courier(enabled=True).post(exchange).wait()
    counts = trace.snapshot()
    assert counts["background"]["collectives"]["halo"]["bytes"] == 8
    assert counts["main"]["phases"]["wait"]["calls"] == 1
