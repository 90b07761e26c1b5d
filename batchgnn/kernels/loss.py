"""Losses with their gradients in one pass over the logits, and the probabilities of a prediction.

Numerically stable: exponentials are taken of numbers that are at most 0.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel


@register_jitable
def softmax_row(row, out):
    """out = softmax(row); returns the log of the sum of exponentials."""
    top = row[0]
    for j in range(1, len(row)):
        if row[j] > top:
            top = row[j]
    total = row.dtype.type(0)
    for j in range(len(row)):
        out[j] = np.exp(row[j] - top)
        total += out[j]
    for j in range(len(row)):
        out[j] /= total
    return np.float64(top) + np.log(np.float64(total))


@register_jitable
def logistic(z):
    """1 / (1 + exp(-z)) without overflow, of z's type."""
    if z >= 0:
        return 1 / (1 + np.exp(-z))
    e = np.exp(z)
    return e / (1 + e)


@parallel_kernel
def softmax_cross_entropy(logits, labels, scale, dlogits, loss):
    """loss[i] = -log softmax(logits[i])[labels[i]] and scale times its gradient.

    logits   float32 or float64 (n, C), C >= 1
    labels   int32 (n,)         -1: the row counts for nothing
    dlogits  as logits (n, C)   overwritten; may be logits
    loss     float64 (n,)       overwritten
    """
    for i in prange(logits.shape[0]):
        row, gradient, label = logits[i], dlogits[i], labels[i]
        loss[i] = 0.0
        if label < 0:
            for j in range(len(row)):
                gradient[j] = 0
        else:
            own = np.float64(row[label])
            loss[i] = softmax_row(row, gradient) - own
            gradient[label] -= 1
            for j in range(len(row)):
                gradient[j] *= scale


@parallel_kernel
def sigmoid_cross_entropy(logits, labels, scale, dlogits, loss):
    """loss[i] = mean over the known classes of binary cross-entropy, and scale times its gradient.

    labels  uint8 (n, C)  0 or 1; above 1: not known, counts for nothing
    Other arguments as `softmax_cross_entropy`.
    """
    num_classes = logits.shape[1]
    for i in prange(logits.shape[0]):
        row, gradient, label = logits[i], dlogits[i], labels[i]
        total, num_known = 0.0, 0
        for j in range(num_classes):
            num_known += label[j] <= 1
        num_known = max(num_known, 1)
        for j in range(num_classes):
            z = row[j]
            if label[j] > 1:
                gradient[j] = 0
                continue
            total += max(np.float64(z), 0.0) + np.log1p(np.exp(-abs(np.float64(z))))
            if label[j] > 0:
                total -= z
            gradient[j] = (logistic(z) - label[j]) * scale / num_known
        loss[i] = total / num_known


@parallel_kernel
def softmax(logits, out):
    """out[i] = softmax(logits[i]); float (n, C), overwritten; may be logits."""
    for i in prange(logits.shape[0]):
        softmax_row(logits[i], out[i])


@parallel_kernel
def sigmoid(logits, out):
    """out = 1 / (1 + exp(-logits)); float (n, C), overwritten; may be logits."""
    for i in prange(logits.shape[0]):
        for j in range(logits.shape[1]):
            out[i, j] = logistic(logits[i, j])


@parallel_kernel
def squared_error(predicted, labels, scale, dpredicted, loss):
    """loss[i] = (predicted[i] - labels[i])^2 and scale times its gradient.

    predicted   float32 or float64 (n, 1)
    labels      float32 (n,)              NaN: the row counts for nothing
    dpredicted  as predicted (n, 1)       overwritten; may be predicted
    loss        float64 (n,)              overwritten
    """
    for i in prange(predicted.shape[0]):
        error = predicted[i, 0] - labels[i]
        if np.isnan(labels[i]):
            error = predicted.dtype.type(0)
        loss[i] = np.float64(error) * np.float64(error)
        dpredicted[i, 0] = 2 * error * scale


@parallel_kernel
def absolute_error(predicted, labels, scale, dpredicted, loss):
    """loss[i] = |predicted[i] - labels[i]| and scale times its gradient, 0 where they are equal.

    Arrays as of `squared_error`.
    """
    for i in prange(predicted.shape[0]):
        error = predicted[i, 0] - labels[i]
        if np.isnan(labels[i]):
            error = predicted.dtype.type(0)
        loss[i] = np.abs(np.float64(error))
        dpredicted[i, 0] = np.sign(error) * scale
