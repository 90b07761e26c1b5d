"""What follows a convolution, in one pass over its rows: bias, activation, dropout; its adjoint.

Whether an element is dropped depends on (stream key, global id of its row, column) alone, so a
vertex is masked alike on every rank. A row hashes its id to 64 bits once; a column costs a 32-bit
hash (murmur3's finaliser, with the upper half of the row's bits mixed in) that vectorises.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.rng import draw

NONE, RELU, ELU = 0, 1, 2
ROWS_PER_CHUNK = 256

GOLDEN = np.uint32(0x9E3779B9)
FMIX_A = np.uint32(0x85EBCA6B)
FMIX_B = np.uint32(0xC2B2AE35)


class Mask(NamedTuple):
    """Which elements dropout keeps: those whose 32 keyed bits reach the threshold.

    key        uint64   stream key
    threshold  uint32   2^32 times the probability of dropping; 0 drops nothing
    scale      float32  1 / (1 - probability): kept elements are multiplied by it
    """

    key: np.uint64
    threshold: np.uint32
    scale: np.float32


@register_jitable(inline="always")
def column_bits(low, high, column):
    """Uniform 32 bits for a column of the row with the key (high, low); all uint32."""
    h = np.uint32(low + np.uint32(np.uint32(column) * GOLDEN))
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * FMIX_A) ^ high
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(13))) * FMIX_B)
    return np.uint32(h ^ (h >> np.uint32(16)))


@register_jitable
def row_key(key, ident):
    """The two uint32 halves of a row's key: low, high."""
    bits = draw(key, np.uint64(ident))
    return np.uint32(bits & np.uint64(0xFFFFFFFF)), np.uint32(bits >> np.uint64(32))


@parallel_kernel
def dropout(x, ids, mask, out):
    """out = x * scale where an element's bits reach the threshold, else 0.

    x     float32 or float64 (n, d)
    ids   uint32/uint64 (>= n,)  global id of each row
    mask  Mask
    out   as x (n, d)            overwritten; may be x
    """
    key, threshold, scale = mask
    zero = x.dtype.type(0)
    for i in prange(x.shape[0]):
        low, high = row_key(key, ids[i])
        source, target = x[i], out[i]
        for j in range(x.shape[1]):
            kept = column_bits(low, high, j) >= threshold
            target[j] = source[j] * scale if kept else zero


@parallel_kernel
def epilogue(y, bias, activation, ids, mask):
    """y = dropout(activation(y + bias)), in place.

    y     float32 or float64 (n, d)
    bias  as y, (d,); empty: none
    activation  NONE, RELU or ELU; the other arguments as `dropout`
    """
    key, threshold, scale = mask
    zero, one = y.dtype.type(0), y.dtype.type(1)
    width = y.shape[1]
    for i in prange(y.shape[0]):
        row = y[i]
        if len(bias) > 0:
            for j in range(width):
                row[j] += bias[j]
        if activation == RELU:
            for j in range(width):
                row[j] = max(row[j], zero)
        elif activation == ELU:
            for j in range(width):
                if row[j] < zero:
                    row[j] = np.exp(row[j]) - one
        if threshold > 0:
            low, high = row_key(key, ids[i])
            for j in range(width):
                kept = column_bits(low, high, j) >= threshold
                row[j] = row[j] * scale if kept else zero


@parallel_kernel
def epilogue_adjoint(dy, y, activation, ids, mask, partial):
    """Gradient before the epilogue from the gradient after it, in place; column sums for the bias.

    dy       float32 or float64 (n, d)  in: of the result; out: of the sum y + bias
    y        as dy (n, d)     what `epilogue` left; not read when activation is NONE
    partial  as dy (ceil(n / ROWS_PER_CHUNK), d)  overwritten: column sums of each chunk of rows
    Other arguments as `epilogue`. The chunks are fixed, so the sum of `partial` over its rows does
    not depend on the number of threads. ReLU's slope at 0 is 0, ELU's is 1, as in PyTorch.
    """
    key, threshold, scale = mask
    zero, one = dy.dtype.type(0), dy.dtype.type(1)
    num_rows, width = dy.shape
    for chunk in prange(partial.shape[0]):
        total = partial[chunk]
        for j in range(width):
            total[j] = zero
        for i in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, num_rows)):
            row = dy[i]
            if activation == RELU:
                # A kept element is positive exactly when its slope is 1: no need to hash again.
                after = y[i]
                for j in range(width):
                    row[j] = row[j] * scale if after[j] > zero else zero
            elif threshold > 0:
                low, high = row_key(key, ids[i])
                for j in range(width):
                    kept = column_bits(low, high, j) >= threshold
                    row[j] = row[j] * scale if kept else zero
            if activation == ELU:
                after = y[i]
                for j in range(width):
                    if after[j] < zero:
                        row[j] *= after[j] / scale + one
            for j in range(width):
                total[j] += row[j]
