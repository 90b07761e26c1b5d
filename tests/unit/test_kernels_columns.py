"""Kernels of mode tensor: slices of columns, walks over the edges, attention of a slice."""

import numpy as np
import pytest
from blocks import EDGES, csr_from, random_csr
from checks import assert_like_reference, poison

from batchgnn.kernels.attention import Heads, attention, attention_adjoint_sources
from batchgnn.kernels.attention import attention_adjoint_targets as adjoint_targets
from batchgnn.kernels.attention_slice import (
    HeadSlice,
    attend_slice,
    attend_slice_adjoint_sources,
    attend_slice_adjoint_targets,
    softmax_slice,
)
from batchgnn.kernels.columns import pack_columns, unpack_columns
from batchgnn.kernels.epilogue import Mask
from batchgnn.kernels.half import narrow_rows
from batchgnn.kernels.segment import add_self_loops, transpose_csr
from batchgnn.kernels.walk import Run, first_chunks, loop_weights

KEY = np.uint64(12345)
NO_WEIGHT = np.empty(0, np.float32)
GRAPHS = {name: (*csr_from(edges, 4), 4) for name, edges in EDGES.items()}
GRAPHS["random"] = (*random_csr(np.random.default_rng(0), 30, 30, most=9), 30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bounds", [[0, 5], [0, 2, 5], [0, 0, 1, 1, 5, 5]])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("with_own", [False, True])
def test_slices_of_columns_and_back(bounds, dtype, scaled, with_own):
    rng, n = np.random.default_rng(0), 7
    x, bounds = rng.normal(size=(n, 8)).astype(dtype), np.array(bounds)
    rows = np.array([1, 2, 4])
    scale = rng.uniform(0.5, 2, n if scaled else 0).astype(np.float32)
    blocks = poison(3 * 5, dtype)
    assert_like_reference(pack_columns, x, rows, scale, bounds, blocks)
    pack_columns(x, rows, scale, bounds, blocks)
    own = rng.normal(size=n if with_own else 0)
    args = (blocks, bounds, 3, 2, scale, own, x, 3)
    assert_like_reference(unpack_columns, *args, np.zeros((n, 6), dtype))
    out = poison((n, 5), dtype)
    none = np.empty(0)
    unpack_columns(blocks, bounds, 3, 2, none.astype(np.float32), none, x, 0, out)
    assert np.isnan(out[[0, 1, 5, 6]]).all()
    factor = scale[rows, None] if scaled else 1
    np.testing.assert_array_equal(out[2:5], (x[rows, :5] * factor).astype(dtype))


@pytest.mark.parametrize("scaled", [False, True])
def test_blocks_of_halves_are_widened(scaled):
    rng, bounds = np.random.default_rng(0), np.array([0, 2, 5])
    blocks = np.empty((1, 3 * 5), np.int16)
    narrow_rows(rng.normal(size=blocks.shape).astype(np.float32), blocks)
    scale = rng.uniform(0.5, 2, 7 if scaled else 0).astype(np.float32)
    own, x = rng.normal(size=7), rng.normal(size=(7, 8)).astype(np.float32)
    args = (blocks[0], bounds, 3, 2, scale, own, x, 3)
    assert_like_reference(unpack_columns, *args, np.zeros((7, 6), np.float32))


@pytest.mark.parametrize("index", [np.int32, np.uint32, np.uint64])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_first_chunks_and_loops(graph, index):
    indptr, indices, n = graph
    a, b = n // 3, n // 2 + 1
    ids = indices[indptr[a] : indptr[b]].astype(index)
    found = np.random.default_rng(0).integers(0, 9, n).astype(np.int32)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(ids)).astype(np.float32)
    for each in (weight, weight[:0]):
        run = Run(a, indptr[a : b + 1] - indptr[a], ids, each)
        assert_like_reference(first_chunks, run, 3, found)
        assert_like_reference(loop_weights, run, poison(b - a, np.float64))


def slice_of(graph, dtype, segments, heads, drop):
    """Scores and columns of segments of some heads; gradients of their results."""
    n = graph[2]
    rng, segment = np.random.default_rng(1), np.array(segments)
    head = np.array(heads)
    scores = 2 * rng.normal(size=(2, n, 1 + max(heads)))
    s_src, s_dst = (np.ascontiguousarray(s[:, head]).astype(dtype) for s in scores)
    z = rng.normal(size=(n, segment[-1])).astype(dtype)
    dout = rng.normal(size=z.shape).astype(dtype)
    mask = Mask(KEY, np.uint32(drop[0]), np.float32(drop[1]))
    softmax = np.zeros(s_src.shape, dtype), np.ones(s_src.shape, dtype)
    return HeadSlice(z, s_src, s_dst, segment, head, mask, *softmax), dout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("drop", [(0, 1.0), (1 << 31, 2.0), (0xF0000000, 16.0)])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_attention_of_a_slice(graph, drop, dtype):
    indptr, indices, n = graph
    part, dout = slice_of(graph, dtype, [0, 2, 5, 5, 6], [1, 2, 0, 3], drop)
    a, b = n // 3, n // 2 + 1
    run = Run(a, indptr[a : b + 1] - indptr[a], indices[indptr[a] : indptr[b]], NO_WEIGHT)
    every = Run(0, indptr, indices, NO_WEIGHT)
    close = {"rtol": 1e-4, "atol": 1e-4}
    assert_like_reference(softmax_slice, run, part, **close)
    softmax_slice(every, part)
    assert_like_reference(attend_slice, run, part, poison((b - a, 6), dtype), **close)
    mean, ds_dst, ds_src = (np.zeros_like(part.s_src) for _ in range(3))
    assert_like_reference(attend_slice_adjoint_targets, run, part, dout, mean, ds_dst, **close)
    attend_slice_adjoint_targets(every, part, dout, mean, ds_dst)
    dz = poison((b - a, 6), dtype)
    assert_like_reference(attend_slice_adjoint_sources, run, part, dout, mean, dz, ds_src, **close)


@pytest.mark.parametrize("drop", [(0, 1.0), (1 << 31, 2.0)])
def test_attention_of_all_columns_is_that_of_a_block(drop):
    indptr, indices, n = GRAPHS["random"]
    part, dout = slice_of(GRAPHS["random"], np.float64, [0, 3, 6], [0, 1], drop)
    run, mask, out = Run(0, indptr, indices, NO_WEIGHT), part.mask, np.empty_like(part.z)
    softmax_slice(run, part)
    attend_slice(run, part, out)
    mean, ds_dst, ds_src = (np.empty_like(part.s_src) for _ in range(3))
    attend_slice_adjoint_targets(run, part, dout, mean, ds_dst)
    by_source = np.empty(n + 1, np.int64), np.empty(len(indices), np.int32)
    transpose_csr(indptr, indices, *by_source, np.empty(len(indices), np.int64))
    dz, back = np.empty_like(part.z), Run(0, *by_source, NO_WEIGHT)
    attend_slice_adjoint_sources(back, part, dout, mean, dz, ds_src)

    looped, sources = np.empty(n + 1, np.int64), np.empty(len(indices) + n, np.int32)
    count = add_self_loops(indptr, indices, looped, sources, np.empty(len(sources), np.int64))
    sources, ids = sources[:count], np.arange(n, dtype=np.uint32)
    z, coefficient = part.z.reshape(n, 2, 3), np.empty((count, 2))
    block = (looped, sources, Heads(z, part.s_src, part.s_dst))
    expected = np.empty_like(z)
    attention(*block, ids, ids, mask, 0, coefficient, expected)
    np.testing.assert_allclose(out.reshape(expected.shape), expected, rtol=1e-13, atol=1e-14)
    dscore, expected_dst = np.empty_like(coefficient), np.empty_like(ds_dst)
    gradient = dout.reshape(z.shape)
    adjoint_targets(*block, coefficient, mask.scale, gradient, dscore, expected_dst)
    transposed = np.empty(n + 1, np.int64), np.empty(count, np.int32), np.empty(count, np.int64)
    transpose_csr(looped, sources, *transposed)
    expected_dz, expected_src = np.empty_like(z), np.empty_like(ds_src)
    attention_adjoint_sources(
        *transposed, coefficient, mask.scale, dscore, gradient, expected_dz, expected_src
    )
    np.testing.assert_allclose(ds_dst, expected_dst, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ds_src, expected_src, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dz.reshape(z.shape), expected_dz, rtol=1e-12, atol=1e-13)
