"""The halo operator is that of one rank on the whole graph, and its adjoints are adjoint."""

import numpy as np
import pytest

from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import RowExchange
from batchgnn.graph.block import Block
from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.operators.halo import HaloOperator
from batchgnn.operators.local import LocalOperator

N = 41


def whole_graph(symmetric):
    """A block of all vertices: doubles, loops and isolated vertices; directed ones have weights."""
    rng = np.random.default_rng(3)
    source, target = (N * rng.random((2, 3 * N)) ** 2).astype(np.int64)
    weight = rng.uniform(0.5, 2, len(source)).astype(np.float32)
    if symmetric:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
        weight = np.concatenate([weight, weight])
    order = np.lexsort((weight, source, target))
    degree = np.bincount(target, minlength=N)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    scale = rng.uniform(0.2, 1, N).astype(np.float32)
    ids = np.arange(N, dtype=np.uint32)
    return Block(indptr, source[order].astype(np.int32), ids, degree, weight[order], scale)


def deal(comm, whole):
    """Owner of each vertex, unevenly: rank 0 has none when there are others; and the own block."""
    owner = np.random.default_rng(4).integers(min(1, comm.size - 1), comm.size, N)
    mine = np.flatnonzero(owner == comm.rank)
    edges = [np.arange(whole.indptr[v], whole.indptr[v + 1]) for v in mine]
    edge = np.concatenate([*edges, np.empty(0, np.int64)])
    sources = whole.indices[edge]
    far = np.unique(sources[owner[sources] != comm.rank])
    far = far[np.argsort(owner[far], kind="stable")]
    ids = np.concatenate([mine, far])
    row_of = np.full(N, -1)
    row_of[ids] = np.arange(len(ids))
    indptr = np.concatenate([[0], np.cumsum([len(each) for each in edges])]).astype(np.int64)
    block = Block(
        indptr,
        row_of[sources].astype(np.int32),
        ids.astype(np.uint32),
        whole.degree[mine],
        whole.weight[edge],
        whole.scale[ids],
    )
    local_row = np.empty(N, np.int64)
    for rank in range(comm.size):
        held = owner == rank
        local_row[held] = np.arange(held.sum())
    return mine, block, local_row[far], np.bincount(owner[far], minlength=comm.size)


@pytest.fixture(params=[False, True], ids=["no overlap", "overlap"])
def overlap(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["directed weighted", "symmetric"])
def symmetric(request):
    return request.param


def operators(grid, aggregation, overlap, symmetric):
    """Own vertices, the halo operator, and the operator of the whole graph."""
    whole = whole_graph(symmetric)
    mine, block, wanted, counts = deal(grid.world, whole)
    comm = grid.background if overlap else grid.world
    exchange, courier = RowExchange(comm, wanted, counts), Courier(enabled=overlap)
    A = HaloOperator(
        grid.world, block, aggregation, exchange, courier, num_vertices=N, symmetric=symmetric
    )
    return mine, A, LocalOperator(whole, aggregation)


@pytest.mark.parametrize("aggregation", ["mean", "sum", "gcn"])
def test_products_are_rows_of_the_whole_product(grid, aggregation, overlap, symmetric):
    mine, A, whole = operators(grid, aggregation, overlap, symmetric)
    rng = np.random.default_rng(5)
    x, dh, dboth = rng.normal(size=(N, 3)), rng.normal(size=(N, 3)), rng.normal(size=(N, 6))
    for name, dy in (("gather", dh), ("gather_self", dh), ("gather_beside", dboth)):
        got, expected = getattr(A, name)(x[mine]), getattr(whole, name)(x)
        np.testing.assert_allclose(got, expected[mine], rtol=1e-12, atol=1e-13)
        back = getattr(A, f"{name}_adjoint")(dy[mine])
        expected = getattr(whole, f"{name}_adjoint")(dy)
        np.testing.assert_allclose(back, expected[mine], rtol=1e-12, atol=1e-13)
        left, right = np.vdot(got, dy[mine]), np.vdot(x[mine], back)
        left, right = grid.world.allreduce(left), grid.world.allreduce(right)
        assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("dropout", [NO_DROPOUT, Dropout(np.uint64(7), 0.5)], ids=["", "dropout"])
def test_attention_is_that_of_the_whole_graph(grid, dropout, overlap, symmetric):
    mine, A, whole = operators(grid, "attention", overlap, symmetric)
    rng = np.random.default_rng(6)
    z, s_src, s_dst = rng.normal(size=(N, 2, 3)), rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
    dh = rng.normal(size=(N, 2, 3))
    h, saved = A.attend(z[mine], s_src[mine], s_dst[mine], dropout)
    expected, kept = whole.attend(z, s_src, s_dst, dropout)
    np.testing.assert_array_equal(h, expected[mine])
    grads, expected = A.attend_adjoint(dh[mine], saved), whole.attend_adjoint(dh, kept)
    for got, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(got, wanted[mine], rtol=1e-12, atol=1e-13)


def test_overlap_changes_no_bit(grid):
    rng = np.random.default_rng(7)
    x, dh = rng.normal(size=(2, N, 3)).astype(np.float32)
    results = []
    for overlap in (False, True):
        mine, A, _ = operators(grid, "gcn", overlap, symmetric=False)
        results.append((A.gather(x[mine]), A.gather_adjoint(dh[mine])))
    for without, with_overlap in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_overlap)


def test_sums_over_targets_are_those_of_all_ranks(grid, overlap):
    mine, A, _ = operators(grid, "mean", overlap, symmetric=True)
    np.testing.assert_array_equal(A.total(np.array([len(mine), 1.0])), [N, grid.size])
    x = np.ones((len(mine), 2))
    assert A.targets(x) is x
    A.add_targets(x, x.copy())
    np.testing.assert_array_equal(x, 2)
