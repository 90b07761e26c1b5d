"""Normalisation of rows and of columns against the reference."""

import numpy as np
import pytest
from checks import assert_like_reference, poison

from batchgnn.kernels.epilogue import ROWS_PER_CHUNK
from batchgnn.kernels.norm import (
    batch_norm,
    batch_norm_adjoint,
    column_products,
    layer_norm,
    layer_norm_adjoint,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 7, ROWS_PER_CHUNK + 1])
@pytest.mark.parametrize("d", [1, 2, 33])
def test_layer_norm_and_its_adjoint(n, d, dtype):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, n, d)).astype(dtype)
    bias, gain, shift = rng.normal(size=(3, d)).astype(dtype)
    normal, rstd, out = poison(x.shape, dtype), poison(n, dtype), poison(x.shape, dtype)
    # One column: the variance is 0 but for rounding, and 1 / sqrt(1e-5) enlarges that.
    close = {"rtol": 1e-4, "atol": 1e-3 if d == 1 else 1e-4}
    assert_like_reference(layer_norm, x, bias, gain, shift, normal, rstd, out, **close)
    layer_norm(x, bias, gain, shift, normal, rstd, out)
    partial = poison((-(-n // ROWS_PER_CHUNK), 3, d), dtype)
    if d > 1:
        assert_like_reference(
            layer_norm_adjoint, dy, gain, normal, rstd, partial, rtol=1e-3, atol=1e-3
        )


def test_constant_rows_become_the_shift():
    x = np.full((2, 4), 3.0, np.float32)
    gain, shift = np.full(4, 5.0, np.float32), np.arange(4, dtype=np.float32)
    normal, rstd, out = poison(x.shape), poison(2), poison(x.shape)
    layer_norm(x, np.zeros(4, np.float32), gain, shift, normal, rstd, out)
    np.testing.assert_allclose(out, [shift, shift], atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, ROWS_PER_CHUNK, 2 * ROWS_PER_CHUNK + 1])
@pytest.mark.parametrize("d", [1, 33])
def test_norm_of_columns_and_its_adjoint(n, d, dtype):
    rng = np.random.default_rng(1)
    x, dy, normal, out = rng.normal(3, 2, size=(4, n, d)).astype(dtype)
    mean, rstd, gain, shift, other = rng.normal(size=(5, d)).astype(dtype)
    partial = poison((-(-n // ROWS_PER_CHUNK), 2, d), np.float64)
    assert_like_reference(column_products, x, dy, partial, rtol=1e-11)
    poisoned = poison(normal.shape, dtype), poison(out.shape, dtype)
    assert_like_reference(batch_norm, x, mean, rstd, gain, shift, *poisoned, atol=1e-5)
    assert_like_reference(batch_norm_adjoint, dy, normal, rstd, mean, other, atol=1e-5)
