"""Graph attention against the reference, its adjoint against the softmax's Jacobian."""

import numpy as np
import pytest
from blocks import EDGES, csr_from, random_csr
from checks import assert_like_reference, poison

from batchgnn.kernels.attention import (
    Heads,
    attention,
    attention_adjoint_sources,
    attention_adjoint_targets,
)
from batchgnn.kernels.epilogue import Mask
from batchgnn.kernels.segment import transpose_csr

KEY = np.uint64(12345)
DROPOUTS = {
    "all kept": (0, 1.0),
    "half dropped": (1 << 31, 2.0),
    "most dropped": (0xF0000000, 16.0),
}

GRAPHS = {name: (*csr_from(edges, 4), 4) for name, edges in EDGES.items()}
GRAPHS["random"] = (*random_csr(np.random.default_rng(0), 30, 60, most=9), 60)
GRAPHS["no targets"] = (np.zeros(1, np.int64), np.empty(0, np.int32), 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("heads", "width"), [(1, 1), (3, 5)])
@pytest.mark.parametrize("drop", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_attention_and_its_adjoint(graph, drop, heads, width, dtype):
    indptr, indices, n_src = graph
    n, m, rng = len(indptr) - 1, len(indices), np.random.default_rng(1)
    mask = Mask(KEY, np.uint32(drop[0]), np.float32(drop[1]))
    z = rng.normal(size=(n_src, heads, width)).astype(dtype)
    s_src, s_dst = (3 * rng.normal(size=(k, heads)).astype(dtype) for k in (n_src, n))
    ids = rng.permutation(n_src).astype(np.uint32)
    coefficient, out = poison((m, heads), dtype), poison((n, heads, width), dtype)
    block = (indptr, indices, Heads(z, s_src, s_dst))
    targets = ids[::-1][:n].copy()  # a target need not be the source of its own number
    args = (*block, targets, ids, mask, 2, coefficient, out)
    assert_like_reference(attention, *args, rtol=1e-4, atol=1e-5)
    attention(*args)

    dout = rng.normal(size=out.shape).astype(dtype)
    dscore, ds_dst = poison((m, heads), dtype), poison((n, heads), dtype)
    back = (*block, coefficient, mask.scale, dout)
    assert_like_reference(attention_adjoint_targets, *back, dscore, ds_dst, rtol=1e-4, atol=1e-4)
    attention_adjoint_targets(*back, dscore, ds_dst)

    transposed = np.empty(n_src + 1, np.int64), np.empty(m, np.int32), np.empty(m, np.int64)
    transpose_csr(indptr, indices, *transposed)
    dz, ds_src = poison(z.shape, dtype), poison(s_src.shape, dtype)
    args = (*transposed, coefficient, mask.scale, dscore, dout, dz, ds_src)
    assert_like_reference(attention_adjoint_sources, *args, rtol=1e-4, atol=1e-4)


def test_coefficients_are_a_softmax_even_for_huge_scores():
    indptr, indices = csr_from(EDGES["hub in"], 4)
    s_src = np.array([[1e30], [-1e30], [1e30], [0]], np.float32)
    coefficient, out = poison((4, 1)), poison((4, 1, 2))
    z = np.arange(8, dtype=np.float32).reshape(4, 1, 2)
    heads = Heads(z, s_src, np.zeros((4, 1), np.float32))
    ids, mask = np.arange(4, dtype=np.uint32), Mask(KEY, np.uint32(0), np.float32(1))
    attention(indptr, indices, heads, ids, ids, mask, 0, coefficient, out)
    np.testing.assert_array_equal(coefficient[:, 0], [0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(out[0, 0], (z[0, 0] + z[2, 0]) / 2)
    np.testing.assert_array_equal(out[1:], 0)


def test_dropped_coefficients_do_not_depend_on_where_an_edge_lies():
    rng = np.random.default_rng(2)
    indptr, indices = csr_from(EDGES["hub in"], 4)
    ids = np.array([70, 50, 60, 40], np.uint64)
    order = np.array([0, 3, 1, 2])  # other rows for the same vertices; the target stays first
    s_src, z = rng.normal(size=(4, 8)).astype(np.float32), np.ones((4, 8, 1), np.float32)
    s_dst = np.zeros((4, 8), np.float32)
    kept = []
    for sources, rows in ((indices, np.arange(4)), (np.argsort(order).astype(np.int32), order)):
        coefficient, out = poison((4, 8)), poison((4, 8, 1))
        heads, mask = Heads(z, s_src[rows], s_dst), Mask(KEY, np.uint32(1 << 31), np.float32(2))
        attention(indptr, sources, heads, ids[rows], ids[rows], mask, 0, coefficient, out)
        kept.append(coefficient)
    np.testing.assert_array_equal(*kept)
    assert (kept[0] > 0).any()
    assert (kept[0] < 0).any()
