"""Optimisers from their formulas, on whole arrays."""

import numpy as np


def adam(parameter, grad, first, second, rates, step):
    lr, beta1, beta2, eps, weight_decay = rates
    g = grad.astype(np.float64) + weight_decay * parameter
    m, v = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
    first[:], second[:] = m, v
    parameter -= lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)


def sgd(parameter, grad, velocity, lr, momentum, weight_decay):
    velocity[:] = momentum * velocity + grad + weight_decay * parameter
    parameter -= lr * velocity
