"""Dense products."""

import numpy as np


def multiply_rows(x, weight, out, onto):
    product = x.astype(np.float64) @ weight.astype(np.float64)
    out[...] = out + product if onto else product


def multiply_columns(x, dy, out):
    out[...] = x.T.astype(np.float64) @ dy.astype(np.float64)
