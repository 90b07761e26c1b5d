"""Columns cut into blocks and put together, by slicing."""

from itertools import pairwise

import numpy as np

from batchgnn.kernels.half import as_floats


def pack_columns(x, rows, scale, bounds, out):
    factor = scale.astype(np.float64)[rows, None] if len(scale) else 1.0
    chosen = x[rows] * factor
    parts = [chosen[:, a:b].ravel() for a, b in pairwise(bounds)]
    out[:] = np.concatenate(parts)


def unpack_columns(blocks, bounds, count, first, scale, coefficient, x, column, out):
    parts = np.split(as_floats(blocks), count * bounds[1:-1])
    whole = np.hstack([part.reshape(count, -1) for part in parts if part.size or not count])
    rows, width = slice(first, first + count), bounds[-1]
    if len(scale):
        whole = whole * scale.astype(np.float64)[rows, None]
    if len(coefficient):
        whole = whole + coefficient[rows, None] * x[rows, column : column + width]
    out[rows, :width] = whole
