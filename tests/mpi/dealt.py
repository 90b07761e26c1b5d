"""A graph to deal to ranks, and what operators on its parts have to be: rows of the whole one."""

import numpy as np
import pytest

from batchgnn.graph.block import Block


def whole_graph(n, symmetric):
    """A block of all vertices: doubles, loops and isolated vertices; weights."""
    rng = np.random.default_rng(3)
    source, target = (n * rng.random((2, 3 * n)) ** 2).astype(np.int64)
    weight = rng.uniform(0.5, 2, len(source)).astype(np.float32)
    if symmetric:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
        weight = np.concatenate([weight, weight])
    order = np.lexsort((weight, source, target))
    degree = np.bincount(target, minlength=n)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    scale = rng.uniform(0.2, 1, n).astype(np.float32)
    ids = np.arange(n, dtype=np.uint32)
    return Block(indptr, source[order].astype(np.int32), ids, degree, weight[order], scale)


def assert_products(comm, A, whole, own, n, d, beside=True):
    """Products of A are the own rows of those of the whole operator; backward is the adjoint."""
    rng = np.random.default_rng(5)
    x, dh, dboth = rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.normal(size=(n, 2 * d))
    products = {"gather": dh, "gather_self": dh} | ({"gather_beside": dboth} if beside else {})
    for name, dy in products.items():
        got, expected = getattr(A, name)(x[own]), getattr(whole, name)(x)
        np.testing.assert_allclose(got, expected[own], rtol=1e-12, atol=1e-13)
        back = getattr(A, f"{name}_adjoint")(dy[own])
        expected = getattr(whole, f"{name}_adjoint")(dy)
        np.testing.assert_allclose(back, expected[own], rtol=1e-12, atol=1e-13)
        left, right = np.vdot(got, dy[own]), np.vdot(x[own], back)
        assert comm.allreduce(left) == pytest.approx(comm.allreduce(right), rel=1e-12)


def assert_attention(A, whole, own, n, heads, dropout):
    """As `assert_products`; returns the results of forward on own rows, of A and of the whole."""
    rng = np.random.default_rng(6)
    z, dh = rng.normal(size=(2, n, heads, 3))
    s_src, s_dst = rng.normal(size=(2, n, heads))
    h, saved = A.attend(z[own], s_src[own], s_dst[own], dropout)
    expected, kept = whole.attend(z, s_src, s_dst, dropout)
    np.testing.assert_allclose(h, expected[own], rtol=1e-12, atol=1e-13)
    grads, wanted = A.attend_adjoint(dh[own], saved), whole.attend_adjoint(dh, kept)
    for got, of_all in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(got, of_all[own], rtol=1e-11, atol=1e-12)
    return h, expected[own]


def assert_targets_are_own_rows(comm, A, n, num_own):
    """Sums over targets are those of all ranks; every own row is a target."""
    np.testing.assert_array_equal(A.total(np.array([num_own, 1.0])), [n, comm.size])
    x = np.ones((num_own, 2))
    assert A.targets(x) is x
    A.add_targets(x, x.copy())
    np.testing.assert_array_equal(x, 2)
