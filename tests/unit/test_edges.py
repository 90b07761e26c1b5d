"""The edges of all vertices: mapped, in memory, pages given back, any threads: one result."""

import numba
import numpy as np
import pytest
from graphs import learnable_graph, shards_of

from batchgnn.comm.columns import ColumnExchange
from batchgnn.comm.courier import Courier
from batchgnn.nn.dropout import Dropout
from batchgnn.operators.propagated import PropagatedOperator
from batchgnn.operators.sliced import Scales
from batchgnn.operators.walk import Walk
from batchgnn.store.edges import Edges, MappedEdges
from batchgnn.store.shard_store import ShardStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("edges") / "shards"
    return ShardStore(shards_of(learnable_graph(directed=True), path, 3))


def whole(store, side):
    """indptr, sources and weights over all shards."""
    shards = [store.shard(s) for s in range(3)]
    degrees = [np.diff(getattr(shard, f"{side}_indptr")) for shard in shards]
    columns = [[getattr(s, f"{side}_{name}") for s in shards] for name in ("indices", "weight")]
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(degrees))])
    return indptr, *(np.concatenate(each) for each in columns)


@pytest.mark.parametrize("side", ["in", "out"])
def test_runs_are_the_edges_of_their_vertices(store, side):
    edges = MappedEdges(store, side=side, weighted=True)
    indptr, indices, weight = whole(store, side)
    n = store.manifest.num_vertices
    assert edges.nbytes == 8 * (n + 3) + 8 * len(indices)
    for begin, end in ((0, n), (5, 5), (n // 4, n // 4 + 1), (3, n - 2)):
        at = begin
        for run in edges.runs(begin, end):
            here = slice(indptr[at], indptr[at + len(run.indptr) - 1])
            assert (run.first, run.indptr[0]) == (at, 0)
            np.testing.assert_array_equal(run.indices, indices[here])
            np.testing.assert_array_equal(run.weight, weight[here])
            at += len(run.indptr) - 1
            np.testing.assert_array_equal(
                np.diff(run.indptr), np.diff(indptr[at + 1 - len(run.indptr) : at + 1])
            )
        assert at == end
        edges.expect(begin, end)
        edges.forget(begin, end)
    np.testing.assert_array_equal(np.concatenate([r.indices for r in edges.runs(0, n)]), indices)


def in_memory(store, side):
    """The same edges as arrays of this process."""
    shards = [store.shard(s) for s in range(3)]
    names = [f"{side}_{name}" for name in ("indptr", "indices", "weight")]
    parts = [tuple(np.array(getattr(shard, name)) for name in names) for shard in shards]
    return Edges(store.manifest.offset, parts)


def results(grid, store, edges, num_chunks, frugal, threads):
    """A product, its adjoint, attention and its adjoint."""
    n = store.manifest.num_vertices
    bounds, ids = np.array([0, n]), np.arange(n, dtype=np.uint32)
    there, back = (Walk(each, bounds, num_chunks, frugal=frugal) for each in edges)
    scales, exchange = Scales(weighted=True), ColumnExchange(grid.world)
    A = PropagatedOperator(grid.world, exchange, Courier(enabled=False), there, back, ids, scales)
    rng = np.random.default_rng(0)
    z, dh = rng.normal(size=(2, n, 2, 5)).astype(np.float32)
    scores = rng.normal(size=(2, n, 2)).astype(np.float32)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        x = z.reshape(n, -1)
        h, saved = A.attend(z, *scores, Dropout(np.uint64(3), 0.4))
        return A.gather(x), A.gather_adjoint(x), A.propagate(x, 3), h, *A.attend_adjoint(dh, saved)
    finally:
        numba.set_num_threads(before)


def test_chunks_threads_memory_and_given_back_pages_change_no_bit(grid, store):
    mapped = [MappedEdges(store, side=side, weighted=True) for side in ("in", "out")]
    memory = [in_memory(store, side) for side in ("in", "out")]
    first = results(grid, store, mapped, 1, False, 1)
    for edges, num_chunks, frugal, threads in (
        (mapped, 7, True, 2),
        (memory, 1, False, 1),
        (memory, 3, True, 2),
    ):
        others = results(grid, store, edges, num_chunks, frugal, threads)
        for one, other in zip(first, others, strict=True):
            np.testing.assert_array_equal(one, other)
