"""Kernels of streams: as the reference has them, event by event."""

import numpy as np
import pytest
from checks import assert_like_reference, poison
from event_streams import random_events

from batchgnn.kernels.stream import StreamShape, count_captured, event_ends, sum_incidences
from batchgnn.store.events import SOURCE, TARGET


@pytest.mark.parametrize("exponent", [0.0, 0.9, 2.0])
def test_event_ends(exponent):
    shape = StreamShape(7, 5, 60, exponent, 0.5, 3)
    keys = np.arange(5, dtype=np.uint64)
    assert_like_reference(event_ends, keys, 4, shape, *(poison(50, np.int64) for _ in "st"))


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_count_captured(batch_size):
    columns = random_events()
    ends = columns[SOURCE], columns[TARGET]
    assert_like_reference(count_captured, *ends, batch_size, poison(12, np.int64))


def test_sum_incidences_does_not_mind_the_order():
    columns = random_events()
    event, key = np.arange(80), np.uint64(3)
    ends = columns[SOURCE], columns[TARGET]
    assert_like_reference(sum_incidences, key, event, *ends)
    back = slice(None, None, -1)
    total = sum_incidences(key, event, *ends)
    assert sum_incidences(key, event[back], ends[0][back], ends[1][back]) == total
    assert sum_incidences(key, event, ends[1], ends[0]) != total
