"""The sliced operator is that of one rank on the whole graph, and its adjoints are adjoint."""

import numpy as np
import pytest
from mpi.dealt import (
    assert_attention,
    assert_products,
    assert_targets_are_own_rows,
    whole_graph,
)
from propagation import RepeatedOperator

from batchgnn.comm.columns import ColumnExchange
from batchgnn.comm.courier import Courier
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.columns import pack_columns
from batchgnn.kernels.segment import transpose_csr
from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.operators.propagated import PropagatedOperator
from batchgnn.operators.sliced import NO_SCALE, scales_of
from batchgnn.operators.walk import Walk
from batchgnn.store.edges import Edges

WALKS = {
    "at once": (1, False),
    "5 chunks, overlap": (5, True),
    "more chunks than rows": (60, False),
}


def exact_operator(block, aggregation):
    """One process; GCN's weights in float64, as factors of their rows and columns are."""
    A = RepeatedOperator(block, aggregation)
    if aggregation == "gcn":
        indptr, indices, edge = A._looped
        target = np.repeat(np.arange(block.num_targets), np.diff(indptr))
        scale = block.scale.astype(np.float64)
        weight = np.ones(len(edge)) if block.weight is None else block.weight
        A._weight = scale[target] * scale[indices] * np.where(edge >= 0, weight[edge], 1)
    return A


def edges_of(block, aggregation, *, by_source=False):
    """The block's edges in two uneven parts, as two shards of them would be."""
    indptr, indices, weight = block.indptr, block.indices, block.weight
    if by_source:
        turned = np.empty_like(indptr), np.empty_like(indices), np.empty(len(indices), np.int64)
        transpose_csr(indptr, indices, *turned)
        indptr, indices, weight = turned[0], turned[1], weight[turned[2]]
    if aggregation != "gcn":
        weight = weight[:0]
    cut, n = len(indptr) // 3, len(indptr) - 1
    parts = []
    for a, b in ((0, cut), (cut, n)):
        edges = slice(indptr[a], indptr[b])
        ids = indices[edges].astype(np.uint32)
        parts.append((indptr[a : b + 1] - indptr[a], ids, weight[edges]))
    return Edges(np.array([0, cut, n]), parts)


@pytest.fixture(params=WALKS.values(), ids=WALKS)
def walk(request):
    return request.param


def operators(grid, n, aggregation, symmetric, walk):
    """Own rows, the sliced operator, and the operator of the whole graph."""
    block, (num_chunks, overlap) = whole_graph(n, symmetric), walk
    bounds = even_bounds(n, grid.size)
    own = slice(*bounds[grid.rank : grid.rank + 2])
    there = Walk(edges_of(block, aggregation), bounds, num_chunks)
    back = there
    if not symmetric:
        back = Walk(edges_of(block, aggregation, by_source=True), bounds, num_chunks)
    target = np.repeat(np.arange(n), np.diff(block.indptr))
    loops = np.bincount(target, np.where(target == block.indices, block.weight, 0), n)
    args = block.degree[own], block.scale[own], 1 - loops[own]
    scales = scales_of(aggregation, *args, weighted=aggregation == "gcn")
    exchange = ColumnExchange(grid.background if overlap else grid.world)
    courier = Courier(enabled=overlap)
    A = PropagatedOperator(grid.world, exchange, courier, there, back, block.ids[own], scales)
    return own, A, exact_operator(block, aggregation)


@pytest.mark.parametrize("n", [41, 3], ids=["", "more ranks than rows"])
@pytest.mark.parametrize("symmetric", [False, True], ids=["directed", "symmetric"])
@pytest.mark.parametrize("aggregation", ["mean", "sum", "gcn"])
def test_products_are_rows_of_the_whole_product(grid, n, aggregation, symmetric, walk):
    own, A, whole = operators(grid, n, aggregation, symmetric, walk)
    for d in (1, 5):
        assert_products(grid.world, A, whole, own, n, d, beside=aggregation != "gcn")


@pytest.mark.parametrize("dropout", [NO_DROPOUT, Dropout(np.uint64(7), 0.5)], ids=["", "dropout"])
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_attention_is_that_of_the_whole_graph(grid, dropout, heads, walk):
    """5 heads are dealt whole; 1 and 2 are cut where ranks are more, one rank having two parts."""
    own, A, whole = operators(grid, 41, "attention", False, walk)
    assert_attention(A, whole, own, 41, heads, dropout)


@pytest.mark.parametrize("symmetric", [False, True], ids=["directed", "symmetric"])
@pytest.mark.parametrize("d", [7, 2], ids=["", "more ranks than columns"])
def test_rounds_are_products_one_after_another(grid, d, symmetric, walk):
    """Against the dense matrices of tests/propagation.py."""
    n = 41
    rng = np.random.default_rng(8)
    z, dh = rng.normal(size=(2, n, d))
    close = {"rtol": 1e-11, "atol": 1e-12}
    own, A, whole = operators(grid, n, "gcn", symmetric, walk)
    np.testing.assert_allclose(A.propagate(z[own], 3), whole.propagate(z, 3)[own], **close)
    expected = whole.propagate_adjoint(dh, 3)[own]
    np.testing.assert_allclose(A.propagate_adjoint(dh[own], 3), expected, **close)

    own, A, whole = operators(grid, n, "attention", symmetric, walk)
    scores, dropout = rng.normal(size=(n, 2)), Dropout(np.uint64(7), 0.5)
    h, saved = A.attend_rounds(z[own], scores[own], dropout, 3)
    expected, kept = whole.attend_rounds(z, scores, dropout, 3)
    np.testing.assert_allclose(h, expected[own], **close)
    grads, expected = A.attend_rounds_adjoint(dh[own], saved), whole.attend_rounds_adjoint(dh, kept)
    for got, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(got, wanted[own], **close)


@pytest.mark.parametrize("aggregation", ["gcn", "attention"])
def test_neither_chunks_nor_overlap_change_a_bit(grid, aggregation):
    rng = np.random.default_rng(7)
    x, dh = rng.normal(size=(2, 41, 2, 3)).astype(np.float32)
    scores = rng.normal(size=(2, 41, 2)).astype(np.float32)
    results = []
    for each in WALKS.values():
        own, A, _ = operators(grid, 41, aggregation, False, each)
        if aggregation == "gcn":
            flat = x[own].reshape(-1, 6), dh[own].reshape(-1, 6)
            results.append((A.gather(flat[0]), A.gather_adjoint(flat[1])))
        else:
            h, saved = A.attend(x[own], scores[0][own], scores[1][own], Dropout(np.uint64(7), 0.5))
            results.append((h, *A.attend_adjoint(dh[own], saved)))
    for others in results[1:]:
        for first, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("width", [1, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_join_is_the_inverse_and_the_adjoint_of_split(comm, width, dtype):
    counts = np.array([5, 0, 3, 4])[: comm.size]
    mine, exchange = int(counts[comm.rank]), ColumnExchange(comm)
    bounds = even_bounds(width, comm.size)
    own_width = int(bounds[comm.rank + 1] - bounds[comm.rank])
    rng = np.random.default_rng([1, comm.rank])
    x = rng.normal(size=(mine, width)).astype(dtype)
    blocks, back = np.empty(x.size, dtype), np.empty(x.size, dtype)
    pack_columns(x, np.arange(mine), NO_SCALE, bounds, blocks)
    columns = np.empty((counts.sum(), own_width), dtype)
    exchange.split(blocks, counts, bounds, columns)
    whole = np.concatenate(comm.allgather(x))
    np.testing.assert_array_equal(columns, whole[:, bounds[comm.rank] : bounds[comm.rank + 1]])
    exchange.join(columns, counts, bounds, back)
    np.testing.assert_array_equal(back, blocks)
    np.testing.assert_array_equal(exchange.collect(x, counts), whole)
    sums = exchange.reduce(np.ascontiguousarray(whole * (1 + comm.rank)), counts)
    np.testing.assert_allclose(sums, x * sum(range(comm.size + 1)), rtol=1e-6)


def test_sums_over_targets_are_those_of_all_ranks(grid):
    own, A, _ = operators(grid, 41, "mean", True, (1, False))
    assert_targets_are_own_rows(grid.world, A, 41, own.stop - own.start)
