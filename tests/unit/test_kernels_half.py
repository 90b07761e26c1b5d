"""Half-width numbers: rounded to the nearest number of the format, widened as what they are."""

import numpy as np
import pytest
from reference import half as reference

from batchgnn.kernels.half import (
    FEATURE_DTYPES,
    as_bits,
    as_floats,
    dtype_name,
    narrow_rows,
    widen,
)
from batchgnn.kernels.jit import kernel

FORMATS = {"float16": np.uint16, "bfloat16": np.int16}
BITS = np.arange(2**16, dtype=np.uint16)


@kernel
def widen_all(bits, out):
    for i in range(len(bits)):
        out[i] = widen(bits[i], out)


def narrowed(x, bits_dtype):
    x = np.atleast_2d(np.asarray(x, np.float32))
    out = np.full(x.shape, 77, bits_dtype)
    return out, narrow_rows(x, out)


def corner_cases(dtype):
    """Every number of the format, the middles between neighbours, and what is just beside them."""
    values = as_floats(BITS.view(dtype))
    values = np.sort(values[np.isfinite(values)].astype(np.float64))
    middles = (values[1:] + values[:-1]) / 2
    found = np.concatenate([values, middles]).astype(np.float32)
    near = [np.nextafter(found, side) for side in (-np.inf, np.inf)]
    special = [0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 65504, 65519.996, 65520, 1e-45, -1e-40]
    largest = np.finfo(np.float32).max
    return np.concatenate([found, *near, np.float32([*special, largest, -largest])])


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=FORMATS)
def test_narrow_rows_takes_the_nearest_number(dtype):
    every = corner_cases(dtype)
    rng = np.random.default_rng(0)
    some = np.concatenate([rng.choice(every, 3000), every[-13:]])
    x = np.concatenate([some, rng.normal(size=87).astype(np.float32)]).reshape(-1, 50)
    out, expected = np.full(x.shape, 77, dtype), np.empty(x.shape, dtype)
    assert narrow_rows(x, out) == reference.narrow_rows(x, expected)
    np.testing.assert_array_equal(as_floats(out), as_floats(expected))
    signed = ~np.isnan(x)
    np.testing.assert_array_equal(out[signed], expected[signed])  # also the sign of zero


def test_float16_is_numpys():
    x = corner_cases(np.uint16)
    out, num_lost = narrowed(x, np.uint16)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(as_floats(out)[0], expected)
    assert num_lost == np.isinf(expected).sum() - np.isinf(x).sum() > 0


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=FORMATS)
def test_what_was_narrow_already_stays(dtype):
    bits = BITS.view(dtype)
    x = as_floats(bits).astype(np.float32)
    out, num_lost = narrowed(x, dtype)
    kept = ~np.isnan(x)
    np.testing.assert_array_equal(out[0][kept], bits[kept])
    assert np.isnan(as_floats(out)[0][~kept]).all()
    assert num_lost == 0


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=FORMATS)
def test_widen_gives_the_number_that_the_bits_stand_for(dtype):
    bits = BITS.view(dtype)
    out, same = np.full(len(bits), 7, np.float32), np.zeros_like(bits)
    widen_all(bits, out)
    widen_all(bits, same)  # into an array of its own kind: as it is
    np.testing.assert_array_equal(out, as_floats(bits).astype(np.float32))
    np.testing.assert_array_equal(same, bits)
    for value in bits[[0, 1, 0x3C00, 0x3F80, 0xC000]]:
        assert widen(value, out) == as_floats(np.array([value]))[0]
        assert widen(value, bits) == value


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_narrow_rows_of_nothing(shape):
    assert narrowed(np.ones(shape), np.int16)[1] == 0


def test_names_of_dtypes_and_of_bits():
    assert [dtype_name(dtype) for dtype in FEATURE_DTYPES.values()] == list(FEATURE_DTYPES)
    assert dtype_name(as_bits(np.zeros(1, np.float16)).dtype) == "float16"
    assert dtype_name(np.float64) == "float64"
