"""Dense products with weights, forward and backward; gradients go straight into the flat buffer."""

from typing import Any

import numpy as np


def linear(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (n, d_in) @ weight (d_in, d_out)."""
    return x @ weight


def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dweight: np.ndarray, need_dx: bool = True
) -> Any:
    """Overwrites dweight with x^T dy; returns dy weight^T, or None unless it is needed."""
    np.matmul(x.T, dy, out=dweight)
    return dy @ weight.T if need_dx else None
