"""Dense products with weights, forward and backward; gradients go straight into the flat buffer."""

from typing import Any

import numpy as np

from batchgnn import buffers
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.rows import Rows


def dense(x: np.ndarray | Rows) -> np.ndarray:
    """The matrix itself; Rows as a float32 matrix (n, d)."""
    if isinstance(x, np.ndarray):
        return x
    out = buffers.empty(x.shape, np.float32)
    copy_rows(x, out)
    return out


def linear(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (n, d_in) @ weight (d_in, d_out)."""
    return np.matmul(x, weight, out=buffers.empty((len(x), weight.shape[1]), x.dtype))


def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dweight: np.ndarray, need_dx: bool = True
) -> Any:
    """Overwrites dweight with x^T dy; returns dy weight^T, or None unless it is needed."""
    if 2 * dy.shape[1] <= x.shape[1]:
        dweight[...] = (
            dy.T @ x
        ).T  # OpenBLAS is a fifth faster at a wide product than at a tall one
    else:
        np.matmul(x.T, dy, out=dweight)
    if not need_dx:
        return None
    return np.matmul(dy, weight.T, out=buffers.empty((len(dy), len(weight)), dy.dtype))
