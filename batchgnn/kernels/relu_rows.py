"""Rows that are sums of two, put through ReLU in one pass; its adjoint."""

from numba import prange

from batchgnn.kernels.jit import parallel_kernel


@parallel_kernel(fastmath={"contract"})
def add_rows_relu(y, own, row, bias, positive):
    """y = ReLU(y + own[row] + bias), and where it is positive.

    y         float (n, d)   in and out
    own       as y (m, d)
    row       int32 (n,)     of own
    bias      as y (d,)
    positive  bool (n, d)    overwritten
    """
    zero = y.dtype.type(0)
    for i in prange(len(y)):
        target, source, kept = y[i], own[row[i]], positive[i]
        for j in range(len(bias)):
            total = target[j] + source[j] + bias[j]
            kept[j] = total > zero
            target[j] = total if not total <= zero else zero  # a NaN stays one


@parallel_kernel
def relu_adjoint(dy, positive):
    """dy = 0 where a row was not positive, in place; as `add_rows_relu` left it."""
    zero = dy.dtype.type(0)
    for i in prange(len(dy)):
        row, kept = dy[i], positive[i]
        for j in range(len(row)):
            row[j] = row[j] if kept[j] else zero
