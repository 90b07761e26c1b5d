"""Dense products with weights, forward and backward; gradients go straight into the flat buffer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from batchgnn import buffers
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.rows import Rows
from batchgnn.threads import for_each

LEAST_ROWS, MOST_PARTS = 2048, 64
TILE_ROWS = 4096
"Rows that stay in a core's cache from one product with them to the next."


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
    parts = _parts(len(x))

    def multiply(k: int) -> None:
        for rows in _tiles(parts[k]):
            np.matmul(x[rows], weight, out=out[rows])

    for_each(multiply, len(parts))
    return out


def linear_onto(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """y (n, d_out) += x (n, d_in) @ weight (d_in, d_out)."""
    parts = _parts(len(x))

    def multiply(k: int) -> None:
        for rows in _tiles(parts[k]):
            y[rows] += x[rows] @ weight

    for_each(multiply, len(parts))


def linear_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    dweight: np.ndarray,
    need_dx: bool = True,
    onto: np.ndarray | None = None,
) -> Any:
    """Overwrites dweight with x^T dy; returns dy weight^T, or None unless it is needed.

    onto: (n, d_in), to which dy weight^T is added instead of returning it
    The parts of x^T dy do not depend on the number of threads, nor does their sum.
    """
    parts = _parts(len(x))
    own = need_dx and onto is None
    dx = buffers.empty((len(dy), len(weight)), dy.dtype) if own else None
    wide = 2 * dy.shape[1] <= x.shape[1]  # BLAS is a tenth faster at the wide one of two products
    shape = dweight.shape[::-1] if wide else dweight.shape
    products = buffers.empty((len(parts), *shape), dy.dtype)
    left, right = (dy, x) if wide else (x, dy)

    def multiply(k: int) -> None:
        products[k] = 0
        for rows in _tiles(parts[k]):
            products[k] += left[rows].T @ right[rows]
            if dx is not None:
                np.matmul(dy[rows], weight.T, out=dx[rows])
            elif need_dx and onto is not None:
                onto[rows] += dy[rows] @ weight.T

    for_each(multiply, len(parts))
    total = products.sum(axis=0)
    dweight[...] = total.T if wide else total
    return dx


def _parts(num_rows: int) -> list[slice]:
    """Consecutive rows of one thread's product: enough parts for many threads, none too small."""
    size = max(LEAST_ROWS, -(-num_rows // MOST_PARTS))
    return [slice(b, min(b + size, num_rows)) for b in range(0, num_rows, size)]


def _tiles(part: slice) -> Iterator[slice]:
    """Consecutive rows of a part."""
    for begin in range(part.start, part.stop, TILE_ROWS):
        yield slice(begin, min(begin + TILE_ROWS, part.stop))
