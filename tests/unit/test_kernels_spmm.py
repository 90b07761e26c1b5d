"""Sparse-dense products against dense matrices; the transpose; self-loops and GCN's weights."""

import numba
import numpy as np
import pytest
from blocks import EDGES, csr_from, random_csr
from checks import assert_like_reference, poison

from batchgnn.kernels.segment import add_self_loops, gcn_weights, transpose_csr
from batchgnn.kernels.spmm import NUM_SHARES, share_begin, spmm, spmm_columns, spmm_rows

cases = pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
kinds = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@cases
@kinds
@pytest.mark.parametrize("d", [1, 3, 64])
def test_products_are_dense_products(edges, d, dtype):
    rng = np.random.default_rng(0)
    indptr, indices = csr_from(edges, n=4)
    x, out = rng.normal(size=(4, d)).astype(dtype), poison((4, d), dtype)
    per_edge = rng.normal(size=len(indices)).astype(np.float32)
    per_row = rng.normal(size=4).astype(np.float32)
    assert_like_reference(spmm, indptr, indices, per_edge, x, out)
    assert_like_reference(spmm_rows, indptr, indices, per_row, x, out)
    assert_like_reference(spmm_columns, indptr, indices, per_row, x, out)


def test_products_of_a_rectangular_power_law_graph():
    rng = np.random.default_rng(1)
    count = (rng.pareto(1.0, 300) * 2).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(count)])
    indices = rng.integers(0, 500, indptr[-1]).astype(np.int32)
    x, out = rng.normal(size=(500, 5)), poison((300, 5), np.float64)
    assert_like_reference(spmm, indptr, indices, np.ones(len(indices), np.float32), x, out)
    assert_like_reference(spmm_rows, indptr, indices, np.ones(300, np.float32), x, out)


def test_products_without_rows_or_columns():
    indptr, indices = np.zeros(1, np.int64), np.empty(0, np.int32)
    spmm(
        indptr,
        indices,
        np.empty(0, np.float32),
        np.ones((3, 2), np.float32),
        np.empty((0, 2), np.float32),
    )
    out = poison((4, 0))
    spmm_rows(*csr_from(EDGES["path"], 4), np.ones(4, np.float32), np.ones((4, 0), np.float32), out)
    assert out.shape == (4, 0)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two Numba threads")
def test_product_is_the_same_for_any_number_of_threads():
    rng = np.random.default_rng(2)
    indptr, indices = random_csr(rng, 2000, 2000, most=20)
    x = rng.normal(size=(2000, 16)).astype(np.float32)
    weight = rng.normal(size=len(indices)).astype(np.float32)
    results, before = [], numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append(poison((2000, 16)))
        spmm(indptr, indices, weight, x, results[-1])
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


@cases
def test_shares_cover_each_row_once(edges):
    indptr, _ = csr_from(edges, n=4)
    begins = [share_begin(indptr, share) for share in range(NUM_SHARES + 1)]
    assert begins[0] == 0
    assert begins[-1] == 4
    assert begins == sorted(begins)


def test_shares_have_about_equal_work():
    indptr = np.concatenate([[0], np.cumsum(np.random.default_rng(3).integers(0, 50, 100_000))])
    begins = [share_begin(indptr, share) for share in range(NUM_SHARES + 1)]
    work = np.diff(indptr[begins] + begins)
    assert work.max() <= work.mean() + 52


@cases
def test_transpose_is_a_stable_sort_by_source(edges):
    indptr, indices = csr_from(edges, n=4)
    m = len(indices)
    outs = poison(5, np.int64), poison(m, np.int32), poison(m, np.int64)
    assert_like_reference(transpose_csr, indptr, indices, *outs)


def test_transpose_of_a_rectangular_graph():
    rng = np.random.default_rng(4)
    indptr, indices = random_csr(rng, 40, 100, most=7)
    m = len(indices)
    outs = poison(101, np.int64), poison(m, np.int32), poison(m, np.int64)
    assert_like_reference(transpose_csr, indptr, indices, *outs)


@cases
def test_each_target_gets_one_self_loop(edges):
    indptr, indices = csr_from(edges, n=4)
    m = len(indices)
    outs = poison(5, np.int64), poison(m + 4, np.int32), poison(m + 4, np.int64)
    assert_like_reference(add_self_loops, indptr, indices, *outs)


@cases
@pytest.mark.parametrize("weighted", [False, True])
def test_gcn_weights(edges, weighted):
    rng = np.random.default_rng(5)
    indptr, indices = csr_from(edges, n=4)
    looped, sources, edge = np.empty(5, np.int64), np.empty(40, np.int32), np.empty(40, np.int64)
    count = add_self_loops(indptr, indices, looped, sources, edge)
    weight = rng.uniform(1, 2, len(indices) if weighted else 0).astype(np.float32)
    scale, factor = rng.uniform(0.1, 1, (2, 4)).astype(np.float32)
    out = poison(count)
    assert_like_reference(
        gcn_weights, looped, sources[:count], edge[:count], weight, scale, factor, out
    )
