"""The halo operator is that of one rank on the whole graph, and its adjoints are adjoint."""

import numpy as np
import pytest
from mpi.dealt import (
    assert_attention,
    assert_products,
    assert_targets_are_own_rows,
    whole_graph,
)

from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import RowExchange
from batchgnn.graph.block import Block
from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.operators.cover import choose_rows
from batchgnn.operators.halo import HaloOperator
from batchgnn.operators.local import LocalOperator

N = 41


def owners(comm):
    """Of each vertex, unevenly: rank 0 has none when there are others."""
    return np.random.default_rng(4).integers(min(1, comm.size - 1), comm.size, N)


def deal(comm, whole):
    """Own vertices, their block, and which rows of which ranks it needs."""
    owner = owners(comm)
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


WAYS = {
    "rows": lambda block, counts: None,
    "cover": lambda block, counts: choose_rows(block, counts)[0],
    "sums": lambda block, counts: np.zeros(counts.sum(), bool),
    "every third row": lambda block, counts: np.arange(counts.sum()) % 3 == 0,
}
"Which rows of the halo travel; of the others, sums."


def operators(grid, aggregation, overlap, symmetric, way="rows"):
    """Own vertices, the halo operator, and the operator of the whole graph."""
    whole = whole_graph(N, symmetric)
    mine, block, wanted, counts = deal(grid.world, whole)
    comm = grid.background if overlap else grid.world
    exchange, courier = RowExchange(comm, wanted, counts), Courier(enabled=overlap)
    A = HaloOperator(
        grid.world,
        block,
        aggregation,
        exchange,
        courier,
        num_vertices=N,
        symmetric=symmetric,
        chosen=WAYS[way](block, counts),
    )
    return mine, A, LocalOperator(whole, aggregation)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("aggregation", ["mean", "sum", "gcn"])
def test_products_are_rows_of_the_whole_product(grid, aggregation, overlap, symmetric, way):
    mine, A, whole = operators(grid, aggregation, overlap, symmetric, way)
    assert_products(grid.world, A, whole, mine, N, 3)


def test_a_cover_has_no_more_rows_than_the_halo_or_the_sums(grid, symmetric):
    """And as many as the rank of that part of the matrix, which no fewer could carry."""
    mine, A, whole = operators(grid, "sum", False, symmetric, "cover")
    halo, sums = (
        operators(grid, "sum", False, symmetric, way)[1].exchange.recv_counts
        for way in ("rows", "sums")
    )
    assert (A.exchange.recv_counts <= np.minimum(halo, sums)).all()
    dense = whole.gather(np.eye(N))
    owner = owners(grid.world)
    for rank in range(grid.world.size):
        part = dense[np.ix_(mine, owner == rank)] * (rank != grid.world.rank)
        needed = np.linalg.matrix_rank(part) if part.size else 0
        assert A.exchange.recv_counts[rank] >= needed


@pytest.mark.parametrize("dropout", [NO_DROPOUT, Dropout(np.uint64(7), 0.5)], ids=["", "dropout"])
def test_attention_is_that_of_the_whole_graph(grid, dropout, overlap, symmetric):
    mine, A, whole = operators(grid, "attention", overlap, symmetric)
    np.testing.assert_array_equal(*assert_attention(A, whole, mine, N, 2, dropout))


@pytest.mark.parametrize("way", ["rows", "cover"])
def test_overlap_changes_no_bit(grid, way):
    rng = np.random.default_rng(7)
    x, dh = rng.normal(size=(2, N, 3)).astype(np.float32)
    results = []
    for overlap in (False, True):
        mine, A, _ = operators(grid, "gcn", overlap, False, way)
        results.append((A.gather(x[mine]), A.gather_adjoint(dh[mine])))
    for without, with_overlap in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_overlap)


def test_sums_over_targets_are_those_of_all_ranks(grid, overlap):
    mine, A, _ = operators(grid, "mean", overlap, symmetric=True)
    assert_targets_are_own_rows(grid.world, A, N, len(mine))
