"""Sparse-dense products by dense matrices."""

import numpy as np

from reference.rows import matrix_of


def edges_of(indptr, indices):
    """(target, source, edge) of each edge, in the order of the CSR."""
    for v in range(len(indptr) - 1):
        for e in range(indptr[v], indptr[v + 1]):
            yield v, int(indices[e]), e


def weighted_matrix(indptr, indices, weight, per, shape):
    dense = np.zeros(shape)
    for v, u, e in edges_of(indptr, indices):
        dense[v, u] += 1 if per == 2 else weight[(e, v)[per]]
    return dense


def spmm(indptr, indices, weight, per, x, own, out):
    x = matrix_of(x).astype(np.float64)
    product = weighted_matrix(indptr, indices, weight, per, (len(out), len(x))) @ x
    if own == 3:
        out[:, : x.shape[1]] += product
        return
    mine = x[: len(out)]
    out[:] = [product, np.hstack([product, mine]), product + mine][own]


def spmm_adjoint(indptr, indices, weight, per, x, dy, own, out):
    width = out.shape[1]
    matrix = weighted_matrix(indptr, indices, weight, per, (len(out), len(x)))
    out[:] = matrix @ x[:, :width].astype(np.float64)
    if own:
        out[: len(dy)] += dy[:, width:] if own == 1 else dy


def scale_rows(x, weight, out):
    out[:] = weight[:, None].astype(np.float64) * x[:, : out.shape[1]]
