"""Digits and a power of ten become the float64 that Python makes of them."""

import random

import numpy as np
from reference.nearest import nearest_float as by_python

from batchgnn.kernels.nearest import nearest_float


def test_nearest_float():
    rng, num_known, count = random.Random(1), 0, 0
    hard = [
        (9007199254740993, 0),
        (2**63, -20),
        (17976931348623157, 292),
        (22250738585072014, -324),
    ]
    hard += [(2**53 + 1, k) for k in range(-30, 30)] + [(5**k, -k) for k in range(1, 27)]
    hard += [(2 * n + 1 + 2**54, k) for n in range(50) for k in range(-5, 24)]
    some = [
        (rng.randrange(1, 10 ** rng.randrange(1, 20)), rng.randrange(-345, 311))
        for _ in range(30_000)
    ]
    short = [(rng.randrange(1, 2**64), rng.randrange(-25, 25)) for _ in range(30_000)]
    for value, power in hard + some + short:
        bits, known = nearest_float(np.uint64(value), power)
        wanted, may_be_known = by_python(value, power)
        assert not known or (may_be_known and int(bits) == wanted), (value, power)
        num_known += known
        count += may_be_known
    assert num_known > 0.99 * count
