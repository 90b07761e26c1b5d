"""The nearest float64, by Python."""

import sys

import numpy as np


def nearest_float(value, power):
    number = float(f"{int(value)}e{int(power)}")
    known = sys.float_info.min <= number < float("inf") and -342 <= power <= 308
    return int(np.float64(number).view(np.uint64)) if known else 0, known
