"""Kernels of the one product with all in-edges, against their references."""

import numpy as np
import pytest
from blocks import EDGES, csr_from, random_csr
from checks import assert_like_reference, poison
from reference import aggregate as reference

from batchgnn.kernels.aggregate import gcn_edges, join_rows, place_sources, put_rows
from batchgnn.kernels.half import as_bits
from batchgnn.kernels.reach import marked_rows
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.spmm import ADDED, BESIDE

MARKED = [1, 7, 63, 64, 130]
ROW_OF = np.array([12, 10, 3, 14, 11])  # 63 is in another own shard


@pytest.mark.parametrize("ids", [[], [20, 25], MARKED, [64, 22, 130, 130, 20, 1, 63]])
def test_place_sources_is_the_reference(ids):
    seen = np.zeros(3, np.uint64)
    for v in MARKED:
        seen[v // 64] |= np.uint64(1 << v % 64)
    ids, out = np.array(ids, np.uint32), np.full(len(ids), -9, np.int32)
    assert_like_reference(place_sources, ids, 20, 4, 6, marked_rows(seen, ROW_OF), out)


GRAPHS = {name: csr_from(edges, 4) for name, edges in EDGES.items()}
GRAPHS["random"] = random_csr(np.random.default_rng(0), 20, 40, 6)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("first", [0, 2])
def test_gcn_edges_is_the_reference(graph, weighted, first):
    rng = np.random.default_rng(1)
    indptr, rows = graph
    n, most = len(indptr) - 1, len(rows) + len(indptr) - 1
    weight = rng.uniform(0.5, 2, len(rows) if weighted else 0).astype(np.float32)
    norm = rng.uniform(0.2, 1, max(n + first, 40)).astype(np.float32)
    results = []
    for version in (gcn_edges, reference.gcn_edges):
        out = np.full(n + 1, -9), np.full(most, -9, np.int32), np.full(most, np.nan, np.float32)
        count = version(first, indptr, rows, weight, norm, *out)
        results.append([out[0], out[1][:count], out[2][:count]])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("own", [BESIDE, ADDED], ids=["beside", "added"])
@pytest.mark.parametrize("n", [1, 9, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_join_rows_is_the_reference(own, n, dtype):
    rng = np.random.default_rng(2)
    held = as_bits(rng.normal(size=(n + 3, 5)).astype(dtype))
    row_bytes = np.uint64(held.strides[0])
    place = rng.permutation(n + 3)[:n].astype(np.uint64)
    h = Rows(np.uint64(held.ctypes.data) + place * row_bytes, held[:0])
    x = as_bits(rng.normal(size=(n, 5)).astype(dtype))
    assert_like_reference(join_rows, h, x, own, poison((n, 10 if own == BESIDE else 5)))


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("width", [5, 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_put_rows_is_the_reference(added, width, dtype):
    rng = np.random.default_rng(3)
    rows = as_bits(rng.normal(size=(40, 5)).astype(dtype))
    out = rng.normal(size=(60, width)).astype(np.float32)
    assert_like_reference(put_rows, rows, rng.permutation(60)[:40], added, out)
