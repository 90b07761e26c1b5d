"""Items made one ahead in a thread."""

import threading
import time

import pytest

from batchgnn.comm.background import LANE, Background


def names_of_threads():
    return [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_arrive_in_order(enabled, count):
    with Background(lambda k: k * k, count, enabled=enabled) as items:
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
        Background(make, 5, enabled=enabled) as items,
    ):
        seen.extend(items)
    assert seen == [0, 1]
    assert LANE not in names_of_threads()


def test_a_consumer_that_stops_early_leaves_no_thread():
    made = []
    with Background(made.append, 100) as items:
        for _ in items:
            if len(made) >= 3:
                break
    assert LANE not in names_of_threads()
    assert len(made) <= 5


def test_an_exception_in_the_consumer_leaves_no_thread():
    with (
        pytest.raises(KeyError),
        Background(lambda k: time.sleep(0.05), 100) as items,
    ):
        for _ in items:
            raise KeyError
    assert LANE not in names_of_threads()


def test_the_same_in_the_consumers_thread_when_disabled():
    with Background(lambda k: threading.current_thread().name, 2, enabled=False) as items:
        assert set(items) == {threading.current_thread().name}
