"""Losses, their gradients, and probabilities against the reference; large logits; ignored rows."""

import numpy as np
import pytest
from checks import assert_gradient, assert_like_reference, poison

from batchgnn.kernels.loss import sigmoid, sigmoid_cross_entropy, softmax, softmax_cross_entropy
from batchgnn.nn.loss import loss_and_gradient

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


@kinds
@pytest.mark.parametrize("probabilities", [softmax, sigmoid])
def test_probabilities_of_large_logits_are_finite(probabilities, dtype):
    logits = np.array([[1e4, -1e4, 0], [0, 0, 0], [-1e4, -1e4, -1e4]], dtype)
    out = poison(logits.shape, dtype)
    assert_like_reference(probabilities, logits, out)
    probabilities(logits, logits)  # in place
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    "labels", [np.array([0, 1], np.int32), np.array([[1, 0], [0, 1]], np.uint8)]
)
def test_losses_of_large_logits_are_finite(labels):
    logits = np.array([[-1e4, 1e4], [-1e4, 1e4]], np.float32)
    loss, dlogits = loss_and_gradient(logits, labels, 1.0)
    assert loss == pytest.approx(2e4 if labels.ndim == 1 else 1e4)
    assert np.isfinite(dlogits).all()


@pytest.mark.parametrize("multilabel", [False, True])
def test_gradient_is_the_central_difference_of_the_scaled_loss(multilabel):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6, 4))
    labels = rng.integers(0, 2, (6, 4)).astype(np.uint8)
    if not multilabel:
        labels = rng.integers(-1, 4, 6).astype(np.int32)
    _, dlogits = loss_and_gradient(logits, labels, 0.3)
    assert_gradient(lambda: 0.3 * loss_and_gradient(logits, labels, 0.3)[0], logits, dlogits, rng)


def test_rows_without_a_label_count_for_nothing():
    logits = np.array([[2.0, 1.0], [0.0, 5.0]], np.float32)
    loss, dlogits = loss_and_gradient(logits, np.array([-1, 1], np.int32), 1.0)
    assert loss == pytest.approx(np.log1p(np.exp(-5.0)))
    np.testing.assert_array_equal(dlogits[0], 0)
