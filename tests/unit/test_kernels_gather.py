"""Rows and values gathered from the shards of a rank, and from fetched rows."""

import numpy as np
import pytest
from checks import assert_like_reference, poison

from batchgnn.kernels.address import addresses
from batchgnn.kernels.gather import address_rows, copy_rows, gather_values
from batchgnn.kernels.half import as_bits
from batchgnn.kernels.rows import Rows


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("width", [1, 3, 64])
def test_rows_at_addresses_are_fancy_indexing(dtype, width):
    rng = np.random.default_rng(0)
    parts = [as_bits(rng.normal(size=(n, width)).astype(dtype)) for n in (4, 0, 5)]
    fetched = as_bits(rng.normal(size=(3, width)).astype(dtype))
    rows = np.array([8, 0, -1, 3, 4, -3, 4])
    address, like = poison(len(rows), np.uint64), fetched[:0]
    size = width * like.dtype.itemsize
    first_row = np.array([0, 4, 4, 9])
    wide = np.hstack([np.zeros_like(fetched), fetched])  # fetched rows may lie apart
    right = wide[:, width:]
    where = rows, first_row, addresses(parts), size, right.ctypes.data, right.strides[0], address
    assert_like_reference(address_rows, *where)
    address_rows(*where)
    own = np.concatenate(parts)
    expected = np.array([own[r] if r >= 0 else fetched[-1 - r] for r in rows])
    for x in (Rows(address, like), expected):
        as_floats, as_they_are = poison((len(rows), width)), np.zeros_like(expected)
        assert_like_reference(copy_rows, x, as_floats)
        copy_rows(x, as_they_are)
        np.testing.assert_array_equal(as_they_are, expected)


def test_many_rows_are_all_copied():
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    assert_like_reference(copy_rows, x, poison((1000, 3)))


def test_gather_values_is_fancy_indexing():
    parts = [np.arange(4, dtype=np.int64), np.arange(10, 13, dtype=np.int64)]
    rows, out = np.array([6, 0, 4]), np.full(3, -77, np.int64)
    gather_values(rows, np.array([0, 4, 7]), addresses(parts), parts[0][:0], out)
    assert out.tolist() == [12, 0, 10]
