"""Normalisation of rows, with the bias of the convolution before it, and of columns.

Of columns the caller adds up sums over all rows, which may lie on several ranks. A column's mean
takes a bias away, so there is none here.
"""

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


@parallel_kernel(fastmath={"contract", "reassoc", "nsz"})
def column_products(a, b, partial):
    """Of each chunk of rows and each column: the sum of a b, and that of a.

    a, b     float32 or float64 (n, d); may be the same
    partial  float64 (ceil(n / ROWS_PER_CHUNK), 2, d)  overwritten

    The chunks are fixed, so the sum of `partial` does not depend on the number of threads.
    """
    num_rows, width = a.shape
    for chunk in prange(partial.shape[0]):
        product, total = partial[chunk, 0], partial[chunk, 1]
        for j in range(width):
            product[j] = total[j] = 0
        for i in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, num_rows)):
            first, second = a[i], b[i]
            for j in range(width):
                product[j] += np.float64(first[j]) * np.float64(second[j])
                total[j] += np.float64(first[j])


@parallel_kernel
def batch_norm(x, mean, rstd, gain, shift, normal, out):
    """normal = (x - mean) rstd, by column; out = normal gain + shift. arXiv:1502.03167, Alg. 1.

    x                        float32 or float64 (n, d)
    mean, rstd, gain, shift  as x (d,)
    normal, out              as x (n, d)  overwritten; each may be x, but not both the same array
    """
    for i in prange(x.shape[0]):
        row, norm, target = x[i], normal[i], out[i]
        for j in range(x.shape[1]):
            norm[j] = (row[j] - mean[j]) * rstd[j]
            target[j] = norm[j] * gain[j] + shift[j]


@parallel_kernel
def batch_norm_adjoint(dy, normal, slope, mean_product, mean_dy):
    """Gradient before the norm from that after it, in place: dy = slope (dy - its two means).

    dy      float32 or float64 (n, d)  in: of `out`; out: of x
    normal  as `batch_norm` left it
    slope, mean_product, mean_dy  as dy (d,)  gain rstd; means over all rows of dy normal and of dy
    """
    for i in prange(dy.shape[0]):
        row, norm = dy[i], normal[i]
        for j in range(dy.shape[1]):
            row[j] = slope[j] * (row[j] - mean_dy[j] - norm[j] * mean_product[j])
