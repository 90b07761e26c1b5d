"""Numbers that are rounded to travel. Kernels widen them as they read; sums stay as wide as before.

To nearest, ties to even: the same on any number of threads, and what is sent twice is the same.
"""

import numpy as np

from batchgnn.base import buffers
from batchgnn.kernels.half import narrow_rows


def narrowed(rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(n, d), as it is where it has this dtype; else rounded to the bits of half-width numbers.

    What float16 cannot hold becomes infinite; bfloat16 holds the size of any float32.
    """
    if rows.dtype == dtype:
        return rows
    out = buffers.empty(rows.shape, dtype)
    narrow_rows(rows.astype(np.float32, copy=False), out)
    return out
