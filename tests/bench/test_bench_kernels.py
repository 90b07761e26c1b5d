"""Kernels of a training step beside the time that their bytes need; `make bench`. Fixed sizes."""

import numpy as np
import pytest
from bench.machine import copy_bandwidth, median_seconds, show

from batchgnn.kernels.address import addresses
from batchgnn.kernels.gather import gather_rows
from batchgnn.kernels.relabel import add_distinct, relabel
from batchgnn.kernels.sample import draw_neighbors, locate
from batchgnn.kernels.spmm import spmm_rows

pytestmark = pytest.mark.slow

NUM_VERTICES, DEGREE, NUM_TARGETS, FANOUT = 1_000_000, 24, 100_000, 10
ONE_PART = np.array([0, NUM_VERTICES], np.int64)


@pytest.fixture(scope="module")
def bandwidth():
    rate = copy_bandwidth()
    print(f"\none thread copies {rate / 1e9:.1f} GB/s")
    return rate


@pytest.mark.parametrize("width", [100, 256])
def test_gather_rows(bandwidth, width):
    rng = np.random.default_rng(0)
    x = rng.random((NUM_VERTICES, width), np.float32)
    rows = rng.permutation(NUM_VERTICES)[:NUM_TARGETS]
    out = np.empty((NUM_TARGETS, width), np.float32)
    seconds = median_seconds(lambda: gather_rows(rows, ONE_PART, addresses([x]), x[:0], x[:0], out))
    show(f"gather_rows d={width}", seconds, 2 * out.nbytes / bandwidth)


@pytest.mark.parametrize("width", [100, 256])
def test_spmm_rows(bandwidth, width):
    rng = np.random.default_rng(0)
    x = rng.random((NUM_VERTICES, width), np.float32)
    indptr = np.arange(0, NUM_TARGETS * FANOUT + 1, FANOUT)
    indices = rng.integers(0, NUM_VERTICES, indptr[-1]).astype(np.int32)
    scale, out = np.full(NUM_TARGETS, 0.1, np.float32), np.empty((NUM_TARGETS, width), np.float32)
    seconds = median_seconds(lambda: spmm_rows(indptr, indices, scale, x, out))
    moved = 4 * width * (indptr[-1] + NUM_TARGETS) + indices.nbytes
    show(f"spmm_rows d={width}", seconds, moved / bandwidth)


def test_sampling_and_relabelling(bandwidth):
    rng = np.random.default_rng(0)
    indptr = np.arange(0, NUM_VERTICES * DEGREE + 1, DEGREE)
    neighbors = rng.integers(0, NUM_VERTICES, indptr[-1]).astype(np.uint32)
    ids = rng.permutation(NUM_VERTICES)[:NUM_TARGETS].astype(np.uint32)
    rows, keys = ids.astype(np.int64), np.ones(NUM_TARGETS, np.uint64)
    begin, degree, count = (np.empty(NUM_TARGETS, np.int64) for _ in range(3))
    drawn = np.empty(NUM_TARGETS * FANOUT, np.uint32)
    scratch, no_positions = np.empty(FANOUT, np.int64), np.empty(0, np.int64)

    def sample():
        locate(rows, ONE_PART, addresses([indptr]), FANOUT, begin, degree, count)
        draw_neighbors(
            keys, ids, rows, ONE_PART, addresses([neighbors]), begin, degree, count, scratch, drawn,
            no_positions,
        )  # fmt: skip

    table_id, table_row = np.empty(1 << 22, np.uint32), np.empty(1 << 22, np.int32)
    sources, indices = np.empty(NUM_TARGETS + len(drawn), np.uint32), np.empty(len(drawn), np.int32)

    def number():
        sources[:NUM_TARGETS] = ids
        add_distinct(sources, NUM_TARGETS, table_id, table_row)
        relabel(drawn, table_id, table_row, sources, NUM_TARGETS, indices)

    line = 64  # bytes that one drawn neighbour or table entry brings from memory
    for name, work in (("sample", sample), ("relabel", number)):
        seconds = median_seconds(work)
        show(name, seconds, line * len(drawn) / bandwidth, f"{len(drawn) / seconds / 1e6:.0f} M/s")
