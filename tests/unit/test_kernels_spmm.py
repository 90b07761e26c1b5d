"""Sparse-dense products against dense matrices; the transpose; self-loops and GCN's weights."""

import numba
import numpy as np
import pytest
from blocks import EDGES, csr_from, random_csr
from checks import assert_like_reference, poison

from batchgnn.kernels.rows import Rows
from batchgnn.kernels.segment import add_self_loops, gcn_weights, transpose_csr
from batchgnn.kernels.spmm import (
    ADDED,
    BESIDE,
    NUM_SHARES,
    ONTO,
    PER_EDGE,
    PER_ROW,
    UNWEIGHTED,
    WITHOUT,
    scale_rows,
    share_begin,
    spmm,
    spmm_adjoint,
)

cases = pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)


def rows_of(x):
    """The same matrix by the addresses of its rows."""
    step = np.arange(len(x), dtype=np.uint64) * np.uint64(x.strides[0])
    return Rows(np.uint64(x.ctypes.data) + step, x[:0])


@cases
@pytest.mark.parametrize("own", [WITHOUT, BESIDE, ADDED])
@pytest.mark.parametrize("per", [PER_EDGE, PER_ROW, UNWEIGHTED])
@pytest.mark.parametrize("d", [1, 3, 64])
def test_products_are_dense_products(edges, d, per, own):
    rng = np.random.default_rng(0)
    indptr, indices = csr_from(edges, n=4)
    weight = rng.normal(size=len(indices) + 4).astype(np.float32)
    wide = 2 * d if own == BESIDE else d
    for dtype in (np.float32, np.float64):
        x, dy = rng.normal(size=(4, d)).astype(dtype), rng.normal(size=(4, wide)).astype(dtype)
        out, back = poison((4, wide), dtype), poison((4, d), dtype)
        assert_like_reference(spmm, indptr, indices, weight, per, x, own, out)
        assert_like_reference(spmm_adjoint, indptr, indices, weight, per, dy, dy, own, back)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_times_weights_leave_the_columns_after_them_out(dtype):
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(7, 6)).astype(dtype), rng.normal(size=7).astype(np.float32)
    for d in (3, 6):
        assert_like_reference(scale_rows, x, weight, poison((7, d), dtype))


@pytest.mark.parametrize("own", [WITHOUT, BESIDE, ADDED])
@pytest.mark.parametrize("bits", [np.float32, np.uint16, np.int16])
def test_product_reads_rows_where_they_lie_and_widens_halves(bits, own):
    rng = np.random.default_rng(0)
    indptr, indices = random_csr(rng, 40, 100, most=9)
    x = rng.normal(size=(100, 19)).astype(np.float32)
    if bits == np.uint16:
        x = x.astype(np.float16).view(bits)
    if bits == np.int16:
        x = (x.view(np.uint32) >> 16).astype(np.uint16).view(bits)
    weight = rng.normal(size=40).astype(np.float32)
    out = poison((40, 38 if own == BESIDE else 19))
    assert_like_reference(spmm, indptr, indices, weight, PER_ROW, rows_of(x), own, out)


def test_products_of_a_rectangular_power_law_graph():
    rng = np.random.default_rng(1)
    count = (rng.pareto(1.0, 300) * 2).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(count)])
    indices = rng.integers(0, 500, indptr[-1]).astype(np.int32)
    x, out = rng.normal(size=(500, 5)), poison((300, 5), np.float64)
    weight = rng.normal(size=len(indices)).astype(np.float32)
    for per in (PER_EDGE, PER_ROW):
        assert_like_reference(spmm, indptr, indices, weight, per, x, WITHOUT, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_goes_on_from_what_the_result_holds(dtype):
    """Fewer sources than targets, as the rows of other ranks may be."""
    rng = np.random.default_rng(6)
    indptr, indices = random_csr(rng, 40, 7, most=9)
    x, out = rng.normal(size=(7, 5)).astype(dtype), rng.normal(size=(40, 8)).astype(dtype)
    weight = rng.normal(size=40).astype(np.float32)
    assert_like_reference(spmm, indptr, indices, weight, PER_ROW, x, ONTO, out)
    assert_like_reference(spmm, indptr, indices, weight, PER_ROW, rows_of(x), ONTO, out)


def test_products_without_rows_or_columns():
    indptr, indices, no_weight = np.zeros(1, np.int64), np.empty(0, np.int32), poison(0)
    spmm(indptr, indices, no_weight, PER_ROW, np.ones((3, 2), np.float32), WITHOUT, poison((0, 2)))
    x, out = np.ones((4, 0), np.float32), poison((4, 0))
    spmm(*csr_from(EDGES["path"], 4), np.ones(4, np.float32), PER_ROW, x, WITHOUT, out)
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
        spmm(indptr, indices, weight, PER_EDGE, x, WITHOUT, results[-1])
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
