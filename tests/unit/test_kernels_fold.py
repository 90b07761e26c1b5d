"""The checksum of words: the reference, whatever the pieces, and no change unnoticed."""

import numpy as np
import pytest
from reference import fold as reference

from batchgnn.kernels.fold import fold

ZERO = np.uint64(0)


def words(n):
    return np.random.default_rng(n).integers(0, 2**64, n, np.uint64)


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_the_sum_is_the_reference_in_any_pieces(n):
    whole = words(n)
    wanted = reference.fold(whole, 0, 0)
    assert int(fold(whole, ZERO, ZERO)) == wanted
    for cut in range(0, n, 7):
        half = np.uint64(fold(whole[:cut], ZERO, ZERO))
        assert int(fold(whole[cut:], np.uint64(cut), half)) == wanted


def test_every_flipped_bit_and_every_swap_changes_the_sum():
    whole = words(40)
    seen = {int(fold(whole, ZERO, ZERO))}
    for i in range(40):
        for bit in range(64):
            other = whole.copy()
            other[i] ^= np.uint64(1) << np.uint64(bit)
            seen.add(int(fold(other, ZERO, ZERO)))
        if i:
            other = whole.copy()
            other[[0, i]] = other[[i, 0]]
            seen.add(int(fold(other, ZERO, ZERO)))
    assert len(seen) == 1 + 40 * 64 + 39
