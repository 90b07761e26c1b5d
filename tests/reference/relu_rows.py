"""Sums of rows through ReLU, whole arrays at a time."""

import numpy as np


def add_rows_relu(y, own, row, bias, positive):
    y += own[row] + bias
    positive[:] = y > 0
    np.maximum(y, 0, out=y)


def relu_adjoint(dy, positive):
    dy[~positive] = 0
