"""Layer normalisation of rows, with the bias of the convolution before it added on the way."""

import numpy as np
from numba import prange

from batchgnn.kernels.epilogue import ROWS_PER_CHUNK
from batchgnn.kernels.jit import parallel_kernel

EPS = 1e-5


@parallel_kernel(fastmath={"contract", "reassoc", "nsz"})
def layer_norm(x, bias, gain, shift, normal, rstd, out):
    """normal = (x + bias - mean) rstd with each row's mean and variance; out = normal gain + shift.

    x                  float32 or float64 (n, d)
    bias, gain, shift  as x (d,)
    normal, out        as x (n, d)  overwritten; each may be x, but not both the same array
    rstd               as x (n,)    overwritten: 1 / sqrt(variance + 1e-5)

    arXiv:1607.06450, Eq. 4; the statistics are each row's own, as in PyG's LayerNorm(mode="node").
    """
    width = x.shape[1]
    for i in prange(x.shape[0]):
        row, norm, target = x[i], normal[i], out[i]
        mean = x.dtype.type(0)
        for j in range(width):
            norm[j] = row[j] + bias[j]
            mean += norm[j]
        mean /= x.dtype.type(width)
        variance = x.dtype.type(0)
        for j in range(width):
            norm[j] -= mean
            variance += norm[j] * norm[j]
        r = x.dtype.type(1 / np.sqrt(variance / x.dtype.type(width) + x.dtype.type(EPS)))
        rstd[i] = r
        for j in range(width):
            norm[j] *= r
            target[j] = norm[j] * gain[j] + shift[j]


@parallel_kernel(fastmath={"contract", "reassoc", "nsz"})
def layer_norm_adjoint(dy, gain, normal, rstd, partial):
    """Gradient before the norm from the gradient after it, in place; sums for its parameters.

    dy            float32 or float64 (n, d)  in: of `out`; out: of x
    normal, rstd  as `layer_norm` left them
    partial       as dy (ceil(n / ROWS_PER_CHUNK), 3, d)  overwritten: of each chunk of rows the
                  column sums that are the gradients of gain, shift and bias
    """
    num_rows, width = dy.shape
    zero = dy.dtype.type(0)
    for chunk in prange(partial.shape[0]):
        dgain, dshift, dbias = partial[chunk, 0], partial[chunk, 1], partial[chunk, 2]
        for j in range(width):
            dgain[j] = dshift[j] = dbias[j] = zero
        for i in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, num_rows)):
            row, norm, r = dy[i], normal[i], rstd[i]
            mean, slope = zero, zero
            for j in range(width):
                dgain[j] += row[j] * norm[j]
                dshift[j] += row[j]
                row[j] *= gain[j]
                mean += row[j]
                slope += row[j] * norm[j]
            mean /= dy.dtype.type(width)
            slope /= dy.dtype.type(width)
            for j in range(width):
                row[j] = (row[j] - mean - norm[j] * slope) * r
                dbias[j] += row[j]
