"""Scratch memory that is used again, and never while someone looks at it."""

import numpy as np
import pytest

from batchgnn.base import buffers


@pytest.fixture(autouse=True)
def _nothing_left():
    buffers.release()
    yield
    buffers.release()


def test_memory_of_a_dropped_array_is_taken_again():
    first = buffers.empty((1000, 300))
    where = first.ctypes.data
    assert where % 64 == 0
    del first
    again = buffers.empty((900, 300), np.int32)
    assert again.ctypes.data == where
    assert again.dtype == np.int32
    assert again.shape == (900, 300)


def test_a_view_keeps_the_memory():
    first = buffers.empty((1000, 300))
    view = first.T[3:7][1:]
    view[:] = 7
    del first
    second = buffers.empty((1000, 300))
    second[:] = 0
    assert (view == 7).all()
    assert not np.shares_memory(view, second)


def test_a_much_larger_piece_is_left_for_others():
    large = buffers.empty(10_000_000)
    where = large.ctypes.data
    del large
    assert buffers.empty(1_000_000).ctypes.data != where


def test_free_memory_is_bounded_by_what_was_used_at_once():
    for size in range(1_000_000, 3_000_000, 300_000):
        buffers.empty(size)
    largest = 2_800_000 * 4 * buffers.GROWTH
    assert sum(map(len, buffers._free)) <= largest * buffers.GROWTH


def test_small_and_empty_arrays():
    assert buffers.empty(0).shape == (0,)
    assert buffers.empty((3, 0)).shape == (3, 0)
    assert buffers.empty(np.int64(5)).shape == (5,)
