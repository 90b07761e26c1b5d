"""Losses of a minibatch: for one label per vertex, or for several."""

import numpy as np

from batchgnn.kernels.loss import sigmoid_cross_entropy, softmax_cross_entropy


def loss_and_gradient(
    logits: np.ndarray, labels: np.ndarray, scale: float
) -> tuple[float, np.ndarray]:
    """Sum of the rows' losses, and scale times the gradient of the sum.

    logits  float (n, C)
    labels  int32 (n,): softmax cross-entropy, rows with label -1 count for nothing; or uint8
            (n, C): binary cross-entropy, averaged over the classes, as torch averages it
    scale   1 / (seeds of the minibatch over all ranks), so that ranks' gradients add up to the mean
    """
    dlogits = np.empty_like(logits)
    loss = np.empty(len(logits))
    kernel = softmax_cross_entropy if labels.ndim == 1 else sigmoid_cross_entropy
    kernel(logits, labels, logits.dtype.type(scale), dlogits, loss)
    return float(loss.sum()), dlogits
