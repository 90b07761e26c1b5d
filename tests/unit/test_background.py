"""Items made one ahead in a thread."""

import contextlib
import threading
import time

import pytest

from batchgnn.comm.background import Background
from batchgnn.watch import trace

LANE = "a lane of this test"


def names_of_threads():
    return [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_arrive_in_order(enabled, count):
    with Background(lambda k: k * k, count, enabled=enabled, lane=LANE) as items:
        assert list(items) == [k * k for k in range(count)]
    assert LANE not in names_of_threads()


def test_the_next_item_is_made_while_the_consumer_works():
    begun = [threading.Event() for _ in range(4)]

    def make(k):
        begun[k].set()
        return k

    with Background(make, 4) as items:
        for k in items:
            if k < 3:
                assert begun[k + 1].wait(5)
            if k < 2:
                time.sleep(0.02)
                assert not begun[k + 2].is_set()


@pytest.mark.parametrize("enabled", [True, False])
def test_an_exception_takes_the_place_of_its_item(enabled):
    def make(k):
        if k == 2:
            raise ValueError("item 2")
        return k

    seen = []
    with (
        pytest.raises(ValueError, match="item 2"),
        Background(make, 5, enabled=enabled, lane=LANE) as items,
    ):
        seen.extend(items)
    assert seen == [0, 1]
    assert LANE not in names_of_threads()


def test_a_consumer_that_stops_early_leaves_no_thread():
    made = []
    with Background(made.append, 100, lane=LANE) as items:
        for _ in items:
            if len(made) >= 3:
                break
    assert LANE not in names_of_threads()
    assert len(made) <= 5


def test_an_exception_in_the_consumer_leaves_no_thread():
    with (
        pytest.raises(KeyError),
        Background(lambda k: time.sleep(0.05), 100, lane=LANE) as items,
    ):
        for _ in items:
            raise KeyError
    assert LANE not in names_of_threads()


def test_the_same_in_the_consumers_thread_when_disabled():
    with Background(lambda k: threading.current_thread().name, 2, enabled=False) as items:
        assert set(items) == {threading.current_thread().name}


def pipeline(first, second, count):
    """Two stages as a context; yields what the second makes of the first's items."""
    stages = contextlib.ExitStack()
    items = iter(stages.enter_context(Background(first, count, lane=f"{LANE} 1", waiting="idle")))
    last = stages.enter_context(Background(lambda k: second(next(items)), count, lane=LANE))
    return stages, last


def test_each_stage_of_a_pipeline_is_one_ahead_of_the_next():
    drawn = [threading.Event() for _ in range(6)]
    fetched = [threading.Event() for _ in range(6)]

    def draw(k):
        drawn[k].set()
        return k

    def fetch(k):
        fetched[k].set()
        return 10 * k

    stages, items = pipeline(draw, fetch, 6)
    with stages:
        for k, item in enumerate(items):
            assert item == 10 * k
            for made, ahead in ((fetched, 1), (drawn, 2)):
                if k + ahead < 6:
                    assert made[k + ahead].wait(5)
                if k + ahead + 1 < 6:
                    time.sleep(0.02)
                    assert not made[k + ahead + 1].is_set()
    assert not [name for name in names_of_threads() if name.startswith(LANE)]


def test_an_exception_of_the_first_stage_reaches_the_end_of_a_pipeline():
    def draw(k):
        if k == 3:
            raise ValueError("item 3")
        return k

    seen = []
    stages, items = pipeline(draw, lambda item: item, 9)
    with pytest.raises(ValueError, match="item 3"), stages:
        seen.extend(items)
    assert seen == [0, 1, 2]
    assert not [name for name in names_of_threads() if name.startswith(LANE)]


def test_a_pipeline_left_early_leaves_no_thread():
    drawn = []
    stages, items = pipeline(lambda k: drawn.append(k) or k, lambda item: item, 100)
    with stages:
        for item in items:
            if item == 2:
                break
    assert drawn == [0, 1, 2, 3, 4]
    assert not [name for name in names_of_threads() if name.startswith(LANE)]


def test_lanes_count_their_phases_and_their_waiting():
    trace.reset()

    def draw(k):
        with trace.phase("sample"):
            return k

    stages, items = pipeline(draw, lambda item: item, 3)
    with stages:
        assert list(items) == [0, 1, 2]
    counted = {lane: set(kinds["phases"]) for lane, kinds in trace.snapshot().items()}
    assert counted == {"main": {"wait"}, LANE: {"idle"}, f"{LANE} 1": {"sample"}}
