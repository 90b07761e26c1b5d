"""Losses and probabilities from their formulas."""

import numpy as np


def softmax(logits, out):
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    out[:] = e / e.sum(axis=1, keepdims=True)


def sigmoid(logits, out):
    out[:] = np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def softmax_cross_entropy(logits, labels, scale, dlogits, loss):
    z = logits.astype(np.float64)
    softmax(z, probability := np.empty(z.shape))
    for i, label in enumerate(labels):
        known = label >= 0
        loss[i] = np.logaddexp.reduce(z[i]) - z[i, label] if known else 0
        dlogits[i] = scale * (probability[i] - np.eye(z.shape[1])[label]) if known else 0


def sigmoid_cross_entropy(logits, labels, scale, dlogits, loss):
    z, t = logits.astype(np.float64), labels.astype(np.float64)
    sigmoid(z, probability := np.empty(z.shape))
    known = labels <= 1
    count = np.maximum(known.sum(axis=1), 1)
    loss[:] = (known * (t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z))).sum(axis=1) / count
    dlogits[:] = scale * known * (probability - t) / count[:, None]


def squared_error(predicted, labels, scale, dpredicted, loss):
    error = np.nan_to_num(predicted[:, 0] - labels)
    loss[:] = error.astype(np.float64) ** 2
    dpredicted[:, 0] = scale * 2 * error


def absolute_error(predicted, labels, scale, dpredicted, loss):
    error = np.nan_to_num(predicted[:, 0] - labels)
    loss[:] = abs(error)
    dpredicted[:, 0] = scale * np.sign(error)
