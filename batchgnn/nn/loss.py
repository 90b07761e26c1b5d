"""Losses of a minibatch, each with its gradient."""

from collections.abc import Callable
from functools import partial

import numpy as np

from batchgnn.kernels.loss import (
    absolute_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)


def _loss(
    kernel: Callable[..., None], rows: np.ndarray, labels: np.ndarray, scale: float
) -> tuple[float, np.ndarray]:
    """Sum of the rows' losses, and scale times the gradient of the sum.

    rows    float (n, d), of the last layer
    scale   1 / (seeds of the minibatch over all ranks), so that ranks' gradients add up to the mean
    """
    drows = np.empty_like(rows)
    loss = np.empty(len(rows))
    kernel(rows, labels, rows.dtype.type(scale), drows, loss)
    return float(loss.sum()), drows


softmax_loss = partial(_loss, softmax_cross_entropy)
"Of labels int32 (n,): softmax cross-entropy; rows with label -1 count for nothing."
sigmoid_loss = partial(_loss, sigmoid_cross_entropy)
"Of labels uint8 (n, C): binary cross-entropy, averaged over the classes, as torch averages it."
squared_loss = partial(_loss, squared_error)
"Of labels float32 (n,): the squared error; rows with NaN count for nothing."
absolute_loss = partial(_loss, absolute_error)
"Of labels float32 (n,): the absolute error; rows with NaN count for nothing."


def weighted_softmax_loss(
    rows: np.ndarray, labels: np.ndarray, scale: float, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """As `softmax_loss`, where a row counts weights[its label]; weights: float32 (C,)."""
    drows, loss = np.empty_like(rows), np.empty(len(rows))
    softmax_cross_entropy(rows, labels, rows.dtype.type(scale), drows, loss)
    each = weights[labels]  # without a label, -1, what is multiplied is 0
    drows *= each[:, None]
    return float((loss * each).sum()), drows
