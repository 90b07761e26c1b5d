"""Dense products with weights, forward and backward; gradients go straight into the flat buffer."""

from typing import overload

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.threads import for_each
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.product import multiply_columns, multiply_rows
from batchgnn.kernels.rows import Rows

PART_ROWS, MOST_PARTS = 1024, 64
ALONE_ROWS = 256
"Fewer are one thread's product."
BLOCK_ROWS = 64
"Of a gradient, that one thread sums up."


def dense(x: np.ndarray | Rows) -> np.ndarray:
    """The matrix itself; Rows as a float32 matrix (n, d)."""
    if isinstance(x, np.ndarray):
        return x
    out = buffers.empty(x.shape, np.float32)
    copy_rows(x, out)
    return out


def linear(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (n, d_in) @ weight (d_in, d_out)."""
    out = buffers.empty((len(x), weight.shape[1]), x.dtype)
    _multiply(x, weight, out, onto=False)
    return out


def linear_onto(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """y (n, d_out) += x (n, d_in) @ weight (d_in, d_out)."""
    _multiply(x, weight, y, onto=True)


@overload
def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dweight: np.ndarray
) -> np.ndarray: ...


@overload
def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dweight: np.ndarray, need_dx: bool
) -> np.ndarray | None: ...


def linear_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    dweight: np.ndarray,
    need_dx: bool = True,
) -> np.ndarray | None:
    """Overwrites dweight with x^T dy; returns dy weight^T, or None unless it is needed."""
    weight_gradient(dy, x, dweight)
    return linear(dy, weight.T) if need_dx else None


def weight_gradient(dy: np.ndarray, x: np.ndarray, dweight: np.ndarray) -> None:
    """Overwrites dweight (d_in, d_out) with x^T dy.

    The parts of x^T dy do not depend on the number of threads, nor does their sum. All are held at
    once, `num_parts` matrices like dweight.
    """
    parts = _parts(len(x))
    products = buffers.empty((len(parts), *dweight.shape), dy.dtype)
    rows = np.ascontiguousarray(dy)
    for_each(lambda k: multiply_columns(x[parts[k]], rows[parts[k]], products[k]), len(parts))
    blocks = [slice(b, b + BLOCK_ROWS) for b in range(0, len(dweight), BLOCK_ROWS)]
    for_each(lambda k: products[:, blocks[k]].sum(axis=0, out=dweight[blocks[k]]), len(blocks))


def _multiply(x: np.ndarray, weight: np.ndarray, out: np.ndarray, onto: bool) -> None:
    """out = x @ weight, or += where `onto`, on all threads."""
    parts, weight = _parts(len(x)), np.ascontiguousarray(weight)
    for_each(lambda k: multiply_rows(x[parts[k]], weight, out[parts[k]], onto), len(parts))


def num_parts(num_rows: int) -> int:
    """Products that rows are cut into: a multiple of four, or one."""
    if num_rows < ALONE_ROWS:
        return 1
    return min(4 * -(-num_rows // (4 * PART_ROWS)), MOST_PARTS)


def _parts(num_rows: int) -> list[slice]:
    """Consecutive rows of one thread's product, about equal."""
    if not num_rows:
        return []
    size = -(-num_rows // num_parts(num_rows))
    return [slice(b, min(b + size, num_rows)) for b in range(0, num_rows, size)]
