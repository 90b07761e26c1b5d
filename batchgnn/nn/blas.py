"""Products by the BLAS, of factors that may be columns of wider matrices; nothing is copied.

For products of some hundred columns on both sides, where the BLAS is quicker than
`kernels.product`. They are cut into parts that do not depend on the number of threads, so the bits
do not either; but a row's bits may depend on how many rows there are.
"""

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.threads import for_each

PART_ROWS, LEAST_ROWS = 1024, 512
"Rows of a part, and fewest rows that are cut in two."


def multiply(x: np.ndarray, weight: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """x (n, k) @ weight (k, m), into `out` where it is given."""
    if out is None:
        out = buffers.empty((len(x), weight.shape[1]), x.dtype)
    parts = _parts(len(x))
    if len(parts) == 1:
        return np.matmul(x, weight, out=out)
    for_each(lambda k: np.matmul(x[parts[k]], weight, out=out[parts[k]]), len(parts))
    return out


def multiply_columns(x: np.ndarray, dy: np.ndarray, out: np.ndarray) -> None:
    """out (k, m) = x^T dy of x (n, k), dy (n, m), in a fixed order of parts."""
    parts = _parts(len(x))
    if not parts:
        out[:] = 0
        return
    if len(parts) == 1:
        np.matmul(x.T, dy, out=out)
        return
    products = buffers.empty((len(parts), *out.shape), x.dtype)
    for_each(lambda k: np.matmul(x[parts[k]].T, dy[parts[k]], out=products[k]), len(parts))
    np.add(products[0], products[1], out=out)
    for each in products[2:]:
        out += each


def column_sums(dy: np.ndarray, out: np.ndarray) -> None:
    """out (m,) = the sum of the rows of dy (n, m)."""
    np.matmul(np.ones(len(dy), dy.dtype), dy, out=out)


def _parts(num_rows: int) -> list[slice]:
    """Consecutive rows, about equal."""
    if not num_rows:
        return []
    count = 1 if num_rows < LEAST_ROWS else max(2, -(-num_rows // PART_ROWS))
    size = -(-num_rows // count)
    return [slice(b, min(b + size, num_rows)) for b in range(0, num_rows, size)]
