"""Bias, activation and keyed dropout against the reference, and what the masks must look like."""

import numpy as np
import pytest
from checks import assert_like_reference, poison
from scipy.stats import chisquare

from batchgnn.kernels.epilogue import (
    ELU,
    NONE,
    RELU,
    ROWS_PER_CHUNK,
    Mask,
    dropout,
    epilogue,
    epilogue_adjoint,
)

KEY = np.uint64(0xFEDCBA9876543210)


def mask_of(probability, key=KEY):
    return Mask(key, np.uint32(probability * 2**32), np.float32(1 / (1 - probability)))


def kept_by(ids, width, probability=0.5, key=KEY):
    out = poison((len(ids), width))
    dropout(np.ones((len(ids), width), np.float32), ids, mask_of(probability, key), out)
    return out > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("probability", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("activation", [NONE, RELU, ELU])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 37)])
def test_epilogue_and_its_adjoint(shape, activation, probability, dtype):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**32, shape[0]).astype(np.uint32)
    y, dy = rng.normal(size=(2, *shape)).astype(dtype)
    how = (activation, ids, mask_of(probability))
    bias = rng.normal(size=shape[1]).astype(dtype)
    assert_like_reference(epilogue, y, bias, *how)
    assert_like_reference(epilogue, y, np.empty(0, dtype), *how)
    epilogue(y, bias, *how)
    assert_like_reference(
        epilogue_adjoint, dy, y, *how, poison((min(1, shape[0]), shape[1]), dtype)
    )


def test_column_sums_of_many_rows_come_in_fixed_chunks():
    rng = np.random.default_rng(1)
    n = 2 * ROWS_PER_CHUNK + 3
    y, dy = rng.normal(size=(2, n, 4)).astype(np.float32)
    ids = np.arange(n, dtype=np.uint64)
    how = (RELU, ids, mask_of(0.5))
    epilogue(y, np.zeros(4, np.float32), *how)
    assert_like_reference(epilogue_adjoint, dy, y, *how, poison((3, 4)), atol=1e-5)


@pytest.mark.parametrize("ids", [np.uint32, np.uint64])
def test_dropout_in_and_out_of_place(ids):
    x = np.random.default_rng(2).normal(size=(6, 19)).astype(np.float32)
    ids = np.array([0, 1, 2**31, 2**32 - 1, 5, 5], ids)
    assert_like_reference(dropout, x, ids, mask_of(0.4), poison(x.shape))
    out = x.copy()
    dropout(out, ids, mask_of(0.4), out)
    kept = kept_by(ids, 19, 0.4)
    np.testing.assert_allclose(out, np.where(kept, x / np.float32(0.6), 0), rtol=1e-6)


def test_mask_depends_on_the_id_and_not_on_the_place_or_the_id_type():
    ids = np.arange(50, dtype=np.uint32)
    whole, order = kept_by(ids, 40), np.random.default_rng(3).permutation(50)
    np.testing.assert_array_equal(kept_by(ids[order].astype(np.uint64), 40), whole[order])
    assert (kept_by(ids, 40, key=np.uint64(1)) != whole).mean() > 0.4


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_kept_elements_are_as_many_as_asked_for_in_every_row_and_column(probability):
    n, width = 4000, 256
    kept = kept_by(np.arange(n, dtype=np.uint32), width, probability)
    q = 1 - probability
    for counts, trials in ((kept.sum(axis=0), n), (kept.sum(axis=1), width)):
        z = (counts - trials * q) / np.sqrt(trials * q * probability)
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert 0.8 < z.var() < 1.2


def test_neighbouring_rows_and_columns_are_independent():
    kept = kept_by(np.arange(4000, dtype=np.uint32), 256)
    for a, b in (
        (kept[1:], kept[:-1]),
        (kept[:, 1:], kept[:, :-1]),
        (kept[:, 128:], kept[:, :128]),
    ):
        pairs = np.bincount((2 * a + b).ravel(), minlength=4)
        assert chisquare(pairs).pvalue > 1e-4
