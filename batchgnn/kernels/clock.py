"""Encodings of time spans: cos(span frequency + phase) and the sine, its slope.

Spans are long and frequencies high, so phases are formed and reduced in float64: in float32 they
would be off by a tenth of a turn. What is left lies within a quarter turn, where polynomials in
float32 are right to 2e-7.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel

ROUND = 1.5 * 2.0**52
"Added and subtracted, it rounds a float64 to a whole number."

C0, C1, C2 = np.float32(1.0), np.float32(-0.49999999356957), np.float32(0.041666636208914)
C3, C4, C5 = np.float32(-0.00138883608424), np.float32(2.476013551e-05), np.float32(-2.6051076e-07)
S0, S1, S2 = np.float32(1.0), np.float32(-0.166666579699047), np.float32(0.00833305061732821)
S3, S4 = np.float32(-0.000198090463574192), np.float32(2.60516627613619e-06)
"Of cos(r) and sin(r) / r in r^2, for r within a quarter turn."


@register_jitable
def half_turns(angle):
    """(half turns nearest to the angle, what is left of it), float64."""
    turns = (angle * (1 / np.pi) + ROUND) - ROUND
    return turns, angle - turns * np.pi


@register_jitable
def sign_of(turns):
    """1 after an even number of half turns, -1 after an odd one."""
    half = turns * 0.5
    even = (half + ROUND) - ROUND
    return np.float32(1.0) - np.float32(4.0) * np.float32(abs(half - even))


@parallel_kernel(fastmath={"contract"})
def encode_spans(span, place, frequency, phase, cosine, sine):
    """cosine[i, j] = cos(span[i] frequency[j] + phase[j]), and the sine.

    span              float64 (n,)
    place             int32 (n,)  rows with a negative one are passed over
    frequency, phase  float32 or float64 (d,)
    cosine            as frequency (n, d)  overwritten
    sine              likewise, or (0, d): not needed
    """
    with_sine = sine.shape[0] > 0
    for i in prange(len(span)):
        if place[i] < 0:
            continue
        for j in range(len(frequency)):
            angle = span[i] * np.float64(frequency[j]) + np.float64(phase[j])
            turns, rest = half_turns(angle)
            sign, r = sign_of(turns), np.float32(rest)
            s = r * r
            value = C0 + s * (C1 + s * (C2 + s * (C3 + s * (C4 + s * C5))))
            cosine[i, j] = sign * value
        if with_sine:
            for j in range(len(frequency)):
                angle = span[i] * np.float64(frequency[j]) + np.float64(phase[j])
                turns, rest = half_turns(angle)
                sign, r = sign_of(turns), np.float32(rest)
                s = r * r
                sine[i, j] = sign * r * (S0 + s * (S1 + s * (S2 + s * (S3 + s * S4))))


@parallel_kernel
def encode_spans_exactly(span, place, frequency, phase, cosine, sine):
    """As `encode_spans`, by the C library: for float64."""
    with_sine = sine.shape[0] > 0
    for i in prange(len(span)):
        if place[i] < 0:
            continue
        for j in range(len(frequency)):
            angle = span[i] * frequency[j] + phase[j]
            cosine[i, j] = np.cos(angle)
            if with_sine:
                sine[i, j] = np.sin(angle)
