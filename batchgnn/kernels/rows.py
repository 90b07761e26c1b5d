"""Rows of a matrix that lie anywhere in memory: in mapped shards, in a cache, among fetched ones.

Kernels read an ordinary matrix and `Rows` alike, through `row_at`, and ask for a row some time
before they need it, through `prefetch_row`: the latency of a random row is what they wait for.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from batchgnn.kernels.address import array_at, prefetch, prefetch_line

CACHE_LINE = np.uint64(64)
AHEAD = 8
"Rows between the one that is asked for and the one that is read."


class Rows(NamedTuple):
    """A matrix by the addresses of its rows; whoever makes it keeps their memory alive.

    address  uint64 (n,)   where each row begins
    like     (0, width)    what a row holds: float32, or the bits of a half (kernels/half.py)
    """

    address: np.ndarray
    like: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(n, width), as an array's."""
        return len(self.address), self.like.shape[1]


def row_at(x, i):
    """Row i of a matrix or of Rows, a view."""
    if isinstance(x, Rows):
        return array_at(x.address[i], (x.like.shape[1],), x.like)
    return x[i]


@overload(row_at, inline="always")
def _row_at(x, i):
    if isinstance(x, types.BaseTuple):
        return lambda x, i: array_at(x.address[i], (x.like.shape[1],), x.like)
    return lambda x, i: x[i]


def row_width(x):
    """Elements of a row of a matrix or of Rows."""
    return x.shape[1]


@overload(row_width, inline="always")
def _row_width(x):
    if isinstance(x, types.BaseTuple):
        return lambda x: x.like.shape[1]
    return lambda x: x.shape[1]


def prefetch_row(x, i):
    """Ask for row i of a matrix or of Rows; changes nothing."""


@overload(prefetch_row, inline="always")
def _prefetch_row(x, i):
    if isinstance(x, types.BaseTuple):
        itemsize = x[1].dtype.bitwidth // 8

        def rows(x, i):
            _prefetch(x.address[i], x.like.shape[1] * itemsize)

        return rows

    def matrix(x, i):
        _prefetch(np.uint64(x.ctypes.data + i * x.strides[0]), x.shape[1] * x.itemsize)

    return matrix


def prefetch_address(x, i):
    """Ask for the address of row i, which `prefetch_row` will need; a matrix has none."""


@overload(prefetch_address, inline="always")
def _prefetch_address(x, i):
    if isinstance(x, types.BaseTuple):
        return lambda x, i: prefetch(x.address, i)
    return lambda x, i: None


@register_jitable
def _prefetch(address, num_bytes):
    """Ask for all cache lines of a row, which may begin in the middle of one."""
    end = address + np.uint64(num_bytes)
    address &= ~(CACHE_LINE - np.uint64(1))
    while address < end:
        prefetch_line(address)
        address += CACHE_LINE
