"""Products of some hundred columns on both sides, of factors that may be columns of wider matrices.

Each number of a result is one chain of fused multiply-adds (`kernels.product`), so that its bits
depend neither on the threads that share a product nor on how many rows there are.
"""

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.threads import for_each, num_threads
from batchgnn.kernels import product
from batchgnn.kernels.tile import ROWS

LEAST_ROWS = 8 * ROWS
"Of a result, that are worth a thread."


def multiply(
    x: np.ndarray, weight: np.ndarray, out: np.ndarray | None = None, onto: bool = False
) -> np.ndarray:
    """x (n, k) @ weight (k, m), into `out` where it is given, or added to it."""
    if out is None:
        out = buffers.empty((len(x), weight.shape[1]), x.dtype)
    parts, weight = _parts(len(x)), _gapless(weight)
    for_each(lambda k: product.multiply_rows(x[parts[k]], weight, out[parts[k]], onto), len(parts))
    return out


def multiply_columns(x: np.ndarray, dy: np.ndarray, out: np.ndarray) -> None:
    """out (k, m) = x^T dy of x (n, k), dy (n, m), in the order of rows."""
    parts, dy = _parts(x.shape[1]), _gapless(dy)
    for_each(lambda k: product.multiply_columns(x[:, parts[k]], dy, out[parts[k]]), len(parts))


def column_sums(dy: np.ndarray, out: np.ndarray) -> None:
    """out (m,) = the sum of the rows of dy (n, m)."""
    np.matmul(np.ones(len(dy), dy.dtype), dy, out=out)


def _gapless(x: np.ndarray) -> np.ndarray:
    """x, copied where it is turned."""
    return x if x.strides[1] == x.itemsize else np.ascontiguousarray(x)


def _parts(num_rows: int) -> list[slice]:
    """Consecutive rows of a result, about equal, one part a thread; whole tiles."""
    count = max(1, min(num_threads(), num_rows // LEAST_ROWS))
    size = ROWS * -(-num_rows // (ROWS * count)) or 1
    return [slice(b, min(b + size, num_rows)) for b in range(0, num_rows, size)]
