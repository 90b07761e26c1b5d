"""Losses, their gradients, and probabilities against the reference; large logits; ignored rows."""

import numpy as np
import pytest
from checks import assert_gradient, assert_like_reference, poison

from batchgnn.kernels.loss import (
    absolute_error,
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from batchgnn.nn.loss import absolute_loss, sigmoid_loss, softmax_loss, squared_loss

kinds = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kinds
@pytest.mark.parametrize("shape", [(0, 3), (4, 1), (9, 5)])
def test_softmax_cross_entropy(shape, dtype):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=shape).astype(dtype)
    labels = rng.integers(-1, shape[1], shape[0]).astype(np.int32)
    outs = poison(shape, dtype), poison(shape[0], np.float64)
    assert_like_reference(softmax_cross_entropy, logits, labels, dtype(0.25), *outs)


@kinds
@pytest.mark.parametrize("shape", [(0, 3), (4, 1), (9, 5)])
def test_sigmoid_cross_entropy(shape, dtype):
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=shape).astype(dtype)
    labels = rng.integers(0, 2, shape).astype(np.uint8)
    outs = poison(shape, dtype), poison(shape[0], np.float64)
    assert_like_reference(sigmoid_cross_entropy, logits, labels, dtype(0.25), *outs)
    labels[rng.random(shape) < 0.4] = 255  # not known
    labels[:1] = 255
    assert_like_reference(sigmoid_cross_entropy, logits, labels, dtype(0.25), *outs)


@kinds
@pytest.mark.parametrize("num_rows", [0, 1, 9])
@pytest.mark.parametrize("error", [squared_error, absolute_error])
def test_errors_of_numbers(error, num_rows, dtype):
    rng = np.random.default_rng(2)
    predicted = 3 * rng.normal(size=(num_rows, 1)).astype(dtype)
    labels = rng.normal(size=num_rows).astype(np.float32)
    labels[3::4] = np.nan
    predicted[4::4, 0] = labels[4::4]  # no error at all
    outs = poison(predicted.shape, dtype), poison(num_rows, np.float64)
    assert_like_reference(error, predicted, labels, dtype(0.25), *outs)


@kinds
@pytest.mark.parametrize("probabilities", [softmax, sigmoid])
def test_probabilities_of_large_logits_are_finite(probabilities, dtype):
    logits = np.array([[1e4, -1e4, 0], [0, 0, 0], [-1e4, -1e4, -1e4]], dtype)
    out = poison(logits.shape, dtype)
    assert_like_reference(probabilities, logits, out)
    probabilities(logits, logits)  # in place
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("loss_of", "labels", "expected"),
    [
        (softmax_loss, np.array([0, 1], np.int32), 2e4),
        (sigmoid_loss, np.array([[1, 0], [0, 1]], np.uint8), 1e4),
    ],
)
def test_losses_of_large_logits_are_finite(loss_of, labels, expected):
    logits = np.array([[-1e4, 1e4], [-1e4, 1e4]], np.float32)
    loss, dlogits = loss_of(logits, labels, 1.0)
    assert loss == pytest.approx(expected)
    assert np.isfinite(dlogits).all()


LABELS = {
    softmax_loss: np.int32([-1, 3, 0, 2, 1, -1]),
    sigmoid_loss: np.arange(24, dtype=np.uint8).reshape(6, 4) % 5 % 2,
    squared_loss: np.float32([np.nan, 3, 0, -2, 1, np.nan]),
    absolute_loss: np.float32([np.nan, 3, 0, -2, 1, np.nan]),
}


@pytest.mark.parametrize(("loss_of", "labels"), LABELS.items())
def test_gradient_is_the_central_difference_of_the_scaled_loss(loss_of, labels):
    rng = np.random.default_rng(2)
    is_number = labels.dtype == np.float32
    rows = rng.normal(size=(6, 1 if is_number else 4))
    _, drows = loss_of(rows, labels, 0.3)
    assert_gradient(lambda: 0.3 * loss_of(rows, labels, 0.3)[0], rows, drows, rng)


def test_rows_without_a_label_count_for_nothing():
    logits = np.array([[2.0, 1.0], [0.0, 5.0]], np.float32)
    loss, dlogits = softmax_loss(logits, np.array([-1, 1], np.int32), 1.0)
    assert loss == pytest.approx(np.log1p(np.exp(-5.0)))
    np.testing.assert_array_equal(dlogits[0], 0)
