"""Normalisation and its adjoint on whole matrices, or by the Jacobian of each row."""

import numpy as np


def layer_norm(x, bias, gain, shift, normal, rstd, out):
    z = x.astype(np.float64) + bias
    z = z - z.mean(axis=1, keepdims=True)
    r = 1 / np.sqrt((z**2).mean(axis=1) + 1e-5)
    normal[:], rstd[:] = z * r[:, None], r
    out[:] = z * r[:, None] * gain + shift


def layer_norm_adjoint(dy, gain, normal, rstd, partial):
    """By the full Jacobian of each row."""
    d, width = dy.astype(np.float64), dy.shape[1]
    dx = np.empty(d.shape)
    for i in range(len(d)):
        n = normal[i].astype(np.float64)
        jacobian = rstd[i] * (np.eye(width) - 1 / width - np.outer(n, n) / width)
        dx[i] = jacobian @ (gain * d[i])
    for chunk in range(len(partial)):
        own = slice(256 * chunk, 256 * (chunk + 1))
        partial[chunk] = (d * normal)[own].sum(axis=0), d[own].sum(axis=0), dx[own].sum(axis=0)
    dy[:] = dx


def column_products(a, b, partial):
    a = a.astype(np.float64)
    for chunk in range(len(partial)):
        own = slice(256 * chunk, 256 * (chunk + 1))
        partial[chunk] = (a * b)[own].sum(axis=0), a[own].sum(axis=0)


def batch_norm(x, mean, rstd, gain, shift, normal, out):
    normal[:] = (x.astype(np.float64) - mean) * rstd
    out[:] = (x.astype(np.float64) - mean) * rstd * gain + shift


def batch_norm_adjoint(dy, normal, slope, mean_product, mean_dy):
    dy[:] = slope * (dy.astype(np.float64) - mean_dy - normal * mean_product)
