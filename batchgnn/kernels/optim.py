"""Optimiser steps on flat buffers: one pass, every element on its own."""

from typing import NamedTuple

import numpy as np
from numba import prange

from batchgnn.kernels.jit import parallel_kernel


class AdamRates(NamedTuple):
    """The constants of Adam, as torch.optim.Adam names them."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float


@parallel_kernel(fastmath={"contract"})
def adam(parameter, grad, first, second, rates, step):
    """One step of Adam as torch.optim.Adam takes it. arXiv:1412.6980, Algorithm 1.

    parameter, first, second  float32 or float64 (n,)  updated in place
    grad                      as parameter (n,)        the L2 penalty is added to it, not stored
    rates  AdamRates; step int, from 1: for the bias correction
    """
    lr, beta1, beta2, eps, weight_decay = rates
    kind = parameter.dtype.type
    decay1, decay2, penalty = kind(beta1), kind(beta2), kind(weight_decay)
    gain1, gain2, small = kind(1.0 - beta1), kind(1.0 - beta2), kind(eps)
    rate = kind(lr / (1.0 - beta1**step))
    root = kind(1.0 / np.sqrt(1.0 - beta2**step))
    for i in prange(len(parameter)):
        g = grad[i] + penalty * parameter[i]
        first[i] = decay1 * first[i] + gain1 * g
        second[i] = decay2 * second[i] + gain2 * g * g
        parameter[i] -= rate * first[i] / (np.sqrt(second[i]) * root + small)


@parallel_kernel(fastmath={"contract"})
def sgd(parameter, grad, velocity, lr, momentum, weight_decay):
    """One step of SGD as torch.optim.SGD takes it: v = momentum v + g, parameter -= lr v.

    parameter, velocity  float32 or float64 (n,)  updated in place; velocity starts at 0
    grad                 as parameter (n,)        the L2 penalty is added to it, not stored
    """
    kind = parameter.dtype.type
    rate, keep, penalty = kind(lr), kind(momentum), kind(weight_decay)
    for i in prange(len(parameter)):
        velocity[i] = keep * velocity[i] + (grad[i] + penalty * parameter[i])
        parameter[i] -= rate * velocity[i]
