"""A keyed permutation of 0 .. n - 1 that needs no table: any element, or its inverse, in O(1).

A Feistel network over the smallest even number of bits that holds n - 1, walked until the value is
below n again (Black and Rogaway, CT-RSA 2002): fewer than four walks on average from n = 17 on.
Generators scatter vertices with it; exact random splits take the first positions of it.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import draw

NUM_ROUNDS = 6
ONE, LEAST_BITS = np.uint64(1), np.uint64(3)


@register_jitable
def half_bits(n):
    """Bits of each half of the network: 4^half_bits >= n, at least 3 lest tiny n be uneven."""
    bits = LEAST_BITS
    while np.uint64(n - 1) >> (bits + bits) > np.uint64(0):
        bits += ONE
    return bits


@kernel
def permute(key, n, x):
    """The element at position x, 0 <= x < n; n < 2^62."""
    bits = half_bits(n)
    mask = (ONE << bits) - ONE
    y = np.uint64(x)
    while True:
        left, right = y >> bits, y & mask
        for i in range(NUM_ROUNDS):
            mixed = draw(key, (right << np.uint64(4)) | np.uint64(i)) & mask
            left, right = right, left ^ mixed
        y = (left << bits) | right
        if y < np.uint64(n):
            return np.int64(y)


@kernel
def unpermute(key, n, y):
    """The position of element y: the inverse of `permute`."""
    bits = half_bits(n)
    mask = (ONE << bits) - ONE
    x = np.uint64(y)
    while True:
        left, right = x >> bits, x & mask
        for i in range(NUM_ROUNDS - 1, -1, -1):
            mixed = draw(key, (left << np.uint64(4)) | np.uint64(i)) & mask
            left, right = right ^ mixed, left
        x = (left << bits) | right
        if x < np.uint64(n):
            return np.int64(x)


@parallel_kernel
def positions(key, n, first, out):
    """out[i] = position of element first + i under `permute`; int64 (k,), overwritten."""
    for i in prange(len(out)):
        out[i] = unpermute(key, n, first + np.int64(i))
