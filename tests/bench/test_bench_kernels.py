"""Kernels of a training step beside the time that their bytes need; `make bench`. Fixed sizes.

Rows are read at random, so the floor of a kernel that gathers is a bare prefetching copy of the
same rows, and not the machine's bandwidth in order.
"""

import numpy as np
import pytest
from bench.machine import gemm_rate, median_seconds, random_row_rate, show, triad_bandwidth
from commands import succeed
from threadpoolctl import threadpool_limits

from batchgnn.kernels.address import addresses
from batchgnn.kernels.half import narrow_rows
from batchgnn.kernels.product import multiply_columns, multiply_rows
from batchgnn.kernels.relabel import Table, relabel
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.sample import NUM_SHARES, draw_neighbors, locate
from batchgnn.kernels.spmm import BESIDE, PER_ROW, WITHOUT, spmm
from batchgnn.operators.products import multiply_adjoint
from batchgnn.store.shard_store import ShardStore

pytestmark = pytest.mark.slow

NUM_VERTICES, DEGREE, NUM_TARGETS, FANOUT = 1_000_000, 24, 100_000, 10
WIDTHS = pytest.mark.parametrize("width", [100, 256])


@pytest.fixture(scope="module")
def bandwidth():
    rate = triad_bandwidth()
    print(f"\ntriad {rate / 1e9:.1f} GB/s")
    return rate


def sampled_csr(num_sources):
    rng = np.random.default_rng(0)
    indptr = np.arange(0, NUM_TARGETS * FANOUT + 1, FANOUT)
    return indptr, rng.integers(0, num_sources, indptr[-1]).astype(np.int32)


def rows_of(x, indices=None):
    places = np.arange(len(x)) if indices is None else indices
    return Rows(np.uint64(x.ctypes.data) + places.astype(np.uint64) * x.strides[0], x[:0])


@WIDTHS
def test_gather_and_mean(width):
    """The first layer: rows at addresses; and with rows of half the width."""
    x = np.random.default_rng(0).random((NUM_VERTICES, width), np.float32)
    indptr, indices = sampled_csr(NUM_VERTICES)
    scale, out = np.full(NUM_TARGETS, 0.1, np.float32), np.empty((NUM_TARGETS, 2 * width), "f")
    floor = 4 * width * (len(indices) + NUM_TARGETS) / random_row_rate(rows_of(x, indices))
    half = np.empty(x.shape, np.int16)
    narrow_rows(x, half)
    for name, rows in (("float32", rows_of(x)), ("bfloat16", rows_of(half))):
        seconds = median_seconds(lambda: spmm(indptr, indices, scale, PER_ROW, rows, BESIDE, out))  # noqa: B023
        show(f"gather + mean d={width} {name}", seconds, floor)


@WIDTHS
def test_spmm_and_its_adjoint(width):
    x = np.random.default_rng(0).random((NUM_VERTICES, width), np.float32)
    indptr, indices = sampled_csr(NUM_VERTICES)
    scale, out = np.full(NUM_VERTICES, 0.1, np.float32), np.empty((NUM_TARGETS, width), np.float32)
    floor = 4 * width * len(indices) / random_row_rate(rows_of(x, indices))
    seconds = median_seconds(lambda: spmm(indptr, indices, scale, PER_ROW, x, WITHOUT, out))
    show(f"spmm d={width}", seconds, floor)
    seconds = median_seconds(
        lambda: multiply_adjoint((indptr, indices, scale), PER_ROW, x, WITHOUT, out)
    )
    show(f"spmm_adjoint d={width}", seconds, floor)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("order") / "g.h5"
    sizes = ["--vertices", 300_000, "--degree", 24, "--features", 1, "--classes", 47]
    succeed("data", "generate", "communities", path, *sizes)
    return path


def test_spmm_by_the_order_of_vertices(graph):
    """All in-neighbours, on vertices as they were generated and as `partition` orders them."""
    x, natural = np.random.default_rng(0).random((300_000, 100), np.float32), None
    for order in ("natural", "rcm"):
        shards = graph.with_name(order)
        cut = ["--shards", 1, "--method", "metis", "--order", order]
        succeed("partition", graph, shards, *cut, timeout_s=600)
        shard = ShardStore(shards).shard(0)
        indptr, indices = np.array(shard.in_indptr), shard.in_indices.astype(np.int32)
        scale, out = np.ones(len(x), np.float32), np.empty_like(x)
        seconds = median_seconds(lambda: spmm(indptr, indices, scale, PER_ROW, x, WITHOUT, out))  # noqa: B023
        natural = natural or seconds
        show(f"spmm d=100, {order} order", seconds, natural, "floor: the natural order")


@pytest.mark.parametrize("dense", [False, True], ids=["hashed", "dense"])
def test_sampling_and_relabelling(bandwidth, dense):
    rng = np.random.default_rng(0)
    indptr = np.arange(0, NUM_VERTICES * DEGREE + 1, DEGREE)
    neighbors = rng.integers(0, NUM_VERTICES, indptr[-1]).astype(np.uint32)
    ids = rng.permutation(NUM_VERTICES)[:NUM_TARGETS].astype(np.uint32)
    rows, keys = ids.astype(np.int64), np.ones(NUM_TARGETS, np.uint64)
    degree, count = np.empty(NUM_TARGETS, np.int64), np.empty(NUM_TARGETS, np.int64)
    where, parts = np.empty(NUM_TARGETS, np.uint64), np.array([0, NUM_VERTICES], np.int64)
    start = np.arange(0, NUM_TARGETS * FANOUT + 1, FANOUT)
    drawn, scratch = np.empty(start[-1], np.uint32), np.empty((NUM_SHARES, FANOUT), np.int64)

    def sample():
        begin = addresses([indptr]), addresses([neighbors])
        locate(rows, parts, *begin, 4, FANOUT, where, degree, count)
        draw_neighbors(keys, ids, where, degree, count, start, scratch, drawn)

    size = NUM_VERTICES if dense else 1 << 22
    idents, marks = np.empty(0 if dense else size, np.uint32), np.zeros(size, np.int64)
    sources, indices = np.empty(NUM_TARGETS + len(drawn), np.uint32), np.empty(len(drawn), np.int32)
    stamps = iter(range(1, 1000))

    def number():
        relabel(drawn, Table(idents, marks, next(stamps)), sources, 0, indices)

    line = 64  # bytes that one drawn neighbour or table entry brings from memory
    for name, work in (("sample", sample), ("relabel, one thread", number)):
        seconds = median_seconds(work)
        show(name, seconds, line * len(drawn) / bandwidth, f"{len(drawn) / seconds / 1e6:.0f} M/s")


@pytest.mark.parametrize("d_out", [64, 256])
def test_products(d_out):
    """Beside the rate of a large square product of the BLAS, which also does the same ones."""
    rng = np.random.default_rng(0)
    x, dy = (rng.random((NUM_TARGETS, width), np.float32) for width in (200, d_out))
    weight, out = rng.random((200, d_out), np.float32), np.empty_like(dy)
    dweight, dx, transposed = np.empty_like(weight), np.empty_like(x), weight.T.copy()
    works = {
        "x W": lambda: multiply_rows(x, weight, out, False),
        "x W, BLAS": lambda: np.matmul(x, weight, out=out),
        "x^T dy": lambda: multiply_columns(x, dy, dweight),
        "x^T dy, BLAS": lambda: np.matmul(x.T, dy, out=dweight),
        "dy W^T": lambda: multiply_rows(dy, transposed, dx, False),
        "dy W^T, BLAS": lambda: np.matmul(dy, weight.T, out=dx),
    }
    with threadpool_limits(1):
        for name, work in works.items():
            floor = 2 * x.size * d_out / gemm_rate()
            show(f"{name}, d_out={d_out}", median_seconds(work), floor, "one thread")
