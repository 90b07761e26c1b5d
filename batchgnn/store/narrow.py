"""Features in half width: rounded once, and refused where a number is too large for the format."""

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.kernels.half import as_bits, as_floats, dtype_name, narrow_rows

SEARCHED_ROWS = 1 << 16


def converted(x: np.ndarray, dtype: np.dtype, vertices: np.ndarray, where: str) -> np.ndarray:
    """The features `x` (n, d) as `dtype`, one of `FEATURE_DTYPES`; `x` itself when they are so.

    vertices: (n,) row numbers in the graph store; where: the name of the store, for messages
    Raises DataError when a finite number would become infinite.
    """
    if x.dtype == dtype:
        return x
    if dtype == np.float32:
        return as_floats(x).astype(np.float32)
    if x.dtype != np.float32:
        x = as_floats(x).astype(np.float32)
    out = np.empty(x.shape, dtype)
    if narrow_rows(x, as_bits(out)):
        raise _too_large(x, out, vertices, where)
    return out


def _too_large(x: np.ndarray, out: np.ndarray, vertices: np.ndarray, where: str) -> DataError:
    """The error that names the first number that was lost."""
    name = dtype_name(out.dtype)
    others = "float32" if name == "bfloat16" else "bfloat16 or float32"
    for begin in range(0, len(x), SEARCHED_ROWS):
        part = slice(begin, begin + SEARCHED_ROWS)
        rows, columns = np.nonzero(np.isinf(as_floats(out[part])) & np.isfinite(x[part]))
        if len(rows):
            break
    row, column = begin + rows[0], columns[0]
    return DataError(
        f"{where}: feature {column} of vertex {vertices[row]} is {x[row, column]:g}, too large for "
        f"{name}. Take --feature-dtype {others}, or scale the features."
    )
