"""The float64 that is nearest to digits times a power of ten, without a big integer.

D. Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51, 2021,
arXiv:2101.11408 (algorithm of M. Eisel): 128 bits of each power of five are enough but for cases
that are told.
"""

import numpy as np
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel

LEAST_POWER, MOST_POWER = -342, 308
LOW = np.uint64(0xFFFFFFFF)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
S1, S9, S32, S52, S63 = (np.uint64(n) for n in (1, 9, 32, 52, 63))
ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)


def _power_of_five(q: int) -> int:
    """The first 128 bits of 5^q, rounded down, or up where q is negative."""
    if q >= 0:
        five = 5**q
        return five << 128 >> five.bit_length()
    five = 5**-q
    bits = (five - 1).bit_length()
    quotient = (1 << (bits + 127 if q >= -27 else 2 * bits + 128)) // five + 1
    return quotient >> max(quotient.bit_length() - 128, 0)


_FIVES = [_power_of_five(q) for q in range(LEAST_POWER, MOST_POWER + 1)]
HIGH_OF_FIVE = np.array([five >> 64 for five in _FIVES], np.uint64)
LOW_OF_FIVE = np.array([five & (2**64 - 1) for five in _FIVES], np.uint64)


@register_jitable
def _product(a, b):
    """(upper, lower) 64 bits of a product of uint64."""
    low, mid, cross = (a & LOW) * (b & LOW), (a >> S32) * (b & LOW), (a & LOW) * (b >> S32)
    middle = (low >> S32) + (mid & LOW) + cross
    return (a >> S32) * (b >> S32) + (mid >> S32) + (middle >> S32), a * b


@register_jitable
def _leading_zeros(value):
    count = np.uint64(0)
    while not value >> S63:
        value <<= S1
        count += ONE
    return count


@kernel
def nearest_float(digits, power):
    """(bits of the float64 nearest to digits x 10^power, whether they are known).

    digits: uint64 above 0; power: int. Not known: what is not a normal number, and a few others.
    """
    if power < LEAST_POWER or power > MOST_POWER:
        return np.uint64(0), False
    zeros = _leading_zeros(np.uint64(digits))
    value = np.uint64(digits) << zeros
    upper, lower = _product(value, HIGH_OF_FIVE[power - LEAST_POWER])
    if upper & (ALL >> np.uint64(55)) == ALL >> np.uint64(55):
        more, _ = _product(value, LOW_OF_FIVE[power - LEAST_POWER])
        lower += more
        if more > lower:
            upper += ONE
    if lower == ALL and not -27 <= power <= 55:
        return np.uint64(0), False
    top = upper >> S63
    shift = top + S9
    mantissa = upper >> shift
    exponent = ((217706 * power) >> 16) + 63 + np.int64(top) - np.int64(zeros) + 1023
    if exponent <= 0:
        return np.uint64(0), False
    is_half = lower <= ONE and -4 <= power <= 23 and mantissa & THREE == ONE
    if is_half and mantissa << shift == upper:
        mantissa &= ~ONE  # exactly between two: to the even one
    mantissa = (mantissa + (mantissa & ONE)) >> ONE
    if mantissa >= TWO << S52:
        mantissa = ONE << S52
        exponent += 1
    if exponent >= 0x7FF:
        return np.uint64(0), False
    return (mantissa & ~(ONE << S52)) | (np.uint64(exponent) << S52), True
