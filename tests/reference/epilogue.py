"""What follows a product: bias, activation and dropout, on whole matrices."""

import numpy as np

from reference.rng import MASK32, draw

NONE, RELU, ELU = 0, 1, 2


def column_bits(row_key, column):
    """murmur3's 32-bit finaliser, with the upper half of the row's key in its middle."""
    h = (row_key % 2**32 + column * 0x9E3779B9) & MASK32
    h = ((h ^ (h >> 16)) * 0x85EBCA6B & MASK32) ^ (row_key >> 32)
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & MASK32
    return h ^ (h >> 16)


def keeps(shape, ids, mask):
    """Which elements dropout keeps."""
    kept = np.ones(shape, bool)
    for i, j in np.ndindex(*shape):
        if mask.threshold > 0:
            kept[i, j] = column_bits(draw(mask.key, ids[i]), j) >= mask.threshold
    return kept


def dropout(x, ids, mask, out):
    out[:] = np.where(keeps(x.shape, ids, mask), x.astype(np.float64) * mask.scale, 0)


def epilogue(y, bias, activation, ids, mask):
    z = y.astype(np.float64) + (bias if len(bias) else 0)
    if activation == RELU:
        z = np.maximum(z, 0)
    if activation == ELU:
        z = np.where(z < 0, np.expm1(np.minimum(z, 0)), z)
    if mask.threshold > 0:
        dropout(z, ids, mask, z)
    y[:] = z


def epilogue_adjoint(dy, y, activation, ids, mask, partial):
    d = np.where(keeps(dy.shape, ids, mask), dy.astype(np.float64), 0)
    if mask.threshold > 0:
        d = d * mask.scale
    if activation == RELU:
        d = np.where(y > 0, d, 0)
    if activation == ELU:
        before_dropout = y.astype(np.float64) / mask.scale
        d = np.where(y < 0, d * (before_dropout + 1), d)
    dy[:] = d
    for chunk in range(len(partial)):
        partial[chunk] = d[256 * chunk : 256 * (chunk + 1)].sum(axis=0)
