"""Products in register tiles: those of NumPy to the last bits, and a row's bits its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import product as reference

from batchgnn.kernels.product import CACHED_ROWS, multiply_columns, multiply_rows
from batchgnn.kernels.tile import ROWS

DTYPES = st.sampled_from([np.float32, np.float64])
WIDTHS = st.integers(1, 130)
ROW_COUNTS = st.one_of(st.integers(0, 3 * ROWS), st.integers(CACHED_ROWS - 2, 2 * CACHED_ROWS + 8))
SEEDS = st.integers(0, 2**32)
GUARD = 64


def guarded(start):
    """A copy, and the numbers before and after it, which a kernel must not touch."""
    around = np.full(start.size + 2 * GUARD, 77, start.dtype)
    out = around[GUARD:-GUARD].reshape(start.shape)
    out[...] = start
    return out, (around[:GUARD], around[-GUARD:])


def assert_product(out, expected, x, weight, start=0):
    """Each number within the error bound of a sum of so many terms in any order."""
    terms = np.abs(x).astype(np.float64) @ np.abs(weight) + np.abs(start)
    bound = (len(weight) + 2) * np.finfo(out.dtype).eps * terms
    assert (np.abs(out - expected) <= bound).all()  # nan is not


@given(ROW_COUNTS, WIDTHS, WIDTHS, DTYPES, st.booleans(), SEEDS)
def test_multiply_rows_is_the_product(n, d_in, d_out, dtype, onto, seed):
    rng = np.random.default_rng(seed)
    shapes = (n, d_in), (d_in, d_out), (n, d_out)
    x, weight, start = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    if not onto:
        start[:] = np.nan
    out, guards = guarded(start)
    expected = start.astype(np.float64)

    multiply_rows(x, weight, out, onto)
    reference.multiply_rows(x, weight, expected, onto)

    assert_product(out, expected, x, weight, start if onto else 0)
    np.testing.assert_array_equal(guards, 77)


@given(ROW_COUNTS, WIDTHS, WIDTHS, DTYPES, SEEDS)
def test_multiply_columns_is_the_product(n, d_in, d_out, dtype, seed):
    rng = np.random.default_rng(seed)
    x, dy = (rng.normal(size=(n, d)).astype(dtype) for d in (d_in, d_out))
    out, guards = guarded(np.full((d_in, d_out), np.nan, dtype))
    expected = np.empty((d_in, d_out))

    multiply_columns(x, dy, out)
    reference.multiply_columns(x, dy, expected)

    assert_product(out, expected, x.T, dy)
    np.testing.assert_array_equal(guards, 77)


@given(st.integers(1, 3 * ROWS), WIDTHS, WIDTHS, st.booleans(), SEEDS)
def test_a_row_has_the_same_bits_wherever_it_stands(n, d_in, d_out, onto, seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(n, d_in)), rng.normal(size=(d_in, d_out))
    start = rng.normal(size=(n, d_out))
    together = start.copy()
    multiply_rows(x, weight, together, onto)
    for first in range(n):
        for count in (1, ROWS):
            rows = slice(first, first + count)
            alone = start[rows].copy()
            multiply_rows(x[rows], weight, alone, onto)
            np.testing.assert_array_equal(alone, together[rows])


def test_the_tall_factor_may_have_gaps_and_no_other():
    rng = np.random.default_rng(0)
    gaps = rng.normal(size=(100, 60))[:, 7:40]
    weight, out = rng.normal(size=(33, 50)), np.full((100, 50), np.nan)
    multiply_rows(gaps, weight, out, False)
    np.testing.assert_allclose(out, gaps @ weight, atol=1e-12)
    dweight = np.full((33, 50), np.nan)
    multiply_columns(gaps, out, dweight)
    np.testing.assert_allclose(dweight, gaps.T @ out, atol=1e-9)
    for wrong in (weight.T, np.ones((33, 100))[:, ::2]):
        with pytest.raises(ValueError, match="gaps"):
            multiply_rows(gaps, wrong, out, False)
        with pytest.raises(ValueError, match="gaps"):
            multiply_columns(weight, wrong, dweight)


def test_a_product_may_be_columns_of_a_wider_matrix():
    rng = np.random.default_rng(0)
    x, weight, around = rng.normal(size=(20, 33)), rng.normal(size=(33, 70)), np.full((20, 99), 7.0)
    multiply_rows(x, weight[:, 20:], around[:, 10:60], False)
    np.testing.assert_allclose(around[:, 10:60], x @ weight[:, 20:], atol=1e-12)
    np.testing.assert_array_equal(np.delete(around, range(10, 60), axis=1), 7)
    multiply_columns(x.T, weight[:, :50], around[:, 10:60])
    np.testing.assert_allclose(around[:, 10:60], x @ weight[:, :50], atol=1e-12)


def test_terms_of_zero_width_leave_zeros_or_what_is_there():
    x, weight = np.empty((7, 0)), np.empty((0, 70))
    out = np.full((7, 70), np.nan)
    multiply_rows(x, weight, out, False)
    np.testing.assert_array_equal(out, 0)
    out[:] = 3
    multiply_rows(x, weight, out, True)
    np.testing.assert_array_equal(out, 3)
