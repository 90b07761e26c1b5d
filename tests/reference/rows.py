"""Rows of any kind as a matrix of floats."""

import numpy as np

from batchgnn.kernels.address import array_at
from batchgnn.kernels.rows import Rows


def matrix_of(x):
    """A matrix, or Rows as one; halves as floats."""
    if isinstance(x, Rows):
        x = np.array([array_at(a, (x.like.shape[1],), x.like) for a in x.address])
        x = x.reshape(-1, x.shape[-1] if x.size else 0)
    if x.dtype == np.uint16:
        return x.view(np.float16).astype(np.float32)
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.int16 else x
