"""Optimiser kernels against the formulas, over several steps."""

import numpy as np
import pytest
from checks import assert_like_reference

from batchgnn.kernels.optim import AdamRates, adam, sgd


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("n", [0, 1, 1000])
def test_steps_are_the_formulas(n, weight_decay, dtype):
    rng = np.random.default_rng(0)
    parameter, grad, first = rng.normal(size=(3, n)).astype(dtype)
    second = rng.uniform(0, 1, n).astype(dtype)
    for step in (1, 2, 1000):
        rates = AdamRates(0.01, 0.9, 0.999, 1e-8, weight_decay)
        assert_like_reference(adam, parameter, grad, first, second, rates, step)
    assert_like_reference(sgd, parameter, grad, first, 0.01, 0.9, weight_decay)
