"""Graph attention (GAT) over a CSR block: softmax over the in-edges of a target, and its adjoint.

Every sum is pulled by the row that it belongs to: no atomics, the same result for any number of
threads. `coefficient` keeps two things per edge and head: the softmax in its absolute value, and in
its sign whether dropout kept it (dropped ones are negative), so that the adjoint never hashes.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.epilogue import column_bits
from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.rng import draw
from batchgnn.kernels.spmm import NUM_SHARES, share_begin

SLOPE = np.float32(0.2)


class Heads(NamedTuple):
    """What the heads of a layer attend to, and the two parts of the scores.

    z      float32 or float64 (n_src, heads, width)
    s_src  as z (n_src, heads)  of a vertex as a source
    s_dst  as z (n, heads)      of a vertex as a target
    """

    z: np.ndarray
    s_src: np.ndarray
    s_dst: np.ndarray


@register_jitable(inline="always")
def leaky(score):
    """LeakyReLU with slope 0.2."""
    return score if score > 0 else score * SLOPE


@register_jitable
def softmax_of_edges(begin, end, indices, s_src, s_dst, out):
    """out[e] = softmax over begin <= e < end of leaky(s_src[indices[e]] + s_dst), per head."""
    for h in range(out.shape[1]):
        top = s_dst.dtype.type(-np.inf)
        for e in range(begin, end):
            score = leaky(s_src[indices[e], h] + s_dst[h])
            out[e, h] = score
            top = max(top, score)
        total = s_dst.dtype.type(0)
        for e in range(begin, end):
            out[e, h] = np.exp(out[e, h] - top)
            total += out[e, h]
        for e in range(begin, end):
            out[e, h] /= total


@parallel_kernel(fastmath={"contract"})
def attention(indptr, indices, heads, target_ids, source_ids, mask, first_head, coefficient, out):
    """out[v, h] = sum over edges e from u of dropout(softmax(leaky(s_src[u] + s_dst[v]))) z[u, h].

    indptr   int64   (n + 1,)   edges into v are indptr[v] : indptr[v + 1], its self-loop among them
    indices  int32   (m,)       source of each edge
    heads    Heads
    target_ids  uint32/uint64 (n,)      global ids: dropout is keyed by (target, source, head)
    source_ids  uint32/uint64 (n_src,)
    mask     epilogue.Mask
    first_head       number of the first head, where z has some of a layer's heads
    coefficient      as z (m, heads)        overwritten: the softmax, negative where dropped
    out      as z (n, heads, width)         overwritten

    O(m heads width). Eq. 3 and 6 of arXiv:1710.10903. Parallel edges share their bits.
    """
    z, s_src, s_dst = heads
    key, threshold, scale = mask
    num_heads, width = z.shape[1], z.shape[2]
    for share in prange(NUM_SHARES):
        for v in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            begin, end = indptr[v], indptr[v + 1]
            softmax_of_edges(begin, end, indices, s_src, s_dst[v], coefficient)
            if threshold > 0:
                target_key = draw(key, np.uint64(target_ids[v]))
                for e in range(begin, end):
                    bits = draw(target_key, np.uint64(source_ids[indices[e]]))
                    low, high = (
                        np.uint32(bits & np.uint64(0xFFFFFFFF)),
                        np.uint32(bits >> np.uint64(32)),
                    )
                    for h in range(num_heads):
                        if column_bits(low, high, first_head + h) < threshold:
                            coefficient[e, h] = -coefficient[e, h]
            for h in range(num_heads):
                row = out[v, h]
                for j in range(width):
                    row[j] = 0
                for e in range(begin, end):
                    w = coefficient[e, h] * scale
                    if w > 0:
                        source = z[indices[e], h]
                        for j in range(width):
                            row[j] += w * source[j]


@parallel_kernel(fastmath={"contract", "reassoc", "nsz"})
def attention_adjoint_targets(indptr, indices, heads, coefficient, scale, dout, dscore, ds_dst):
    """The gradient of each edge's score (before the LeakyReLU), and its sum over a target's edges.

    heads   Heads
    coefficient, scale  as `attention` left it, and had it in its mask
    dout    as z (n, heads, width)  gradient of its result
    dscore  as z (m, heads)         overwritten
    ds_dst  as z (n, heads)         overwritten
    """
    z, s_src, s_dst = heads
    num_heads, width = z.shape[1], z.shape[2]
    zero = z.dtype.type(0)
    for share in prange(NUM_SHARES):
        for v in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            for h in range(num_heads):
                gradient = dout[v, h]
                mean = zero
                for e in range(indptr[v], indptr[v + 1]):
                    c, dot = coefficient[e, h], zero
                    if c > 0:
                        source = z[indices[e], h]
                        for j in range(width):
                            dot += gradient[j] * source[j]
                        dot *= scale
                    dscore[e, h] = dot
                    mean += abs(c) * dot
                total = zero
                for e in range(indptr[v], indptr[v + 1]):
                    d = abs(coefficient[e, h]) * (dscore[e, h] - mean)
                    if s_src[indices[e], h] + s_dst[v, h] <= 0:
                        d *= SLOPE
                    dscore[e, h] = d
                    total += d
                ds_dst[v, h] = total


@parallel_kernel(fastmath={"contract"})
def attention_adjoint_sources(indptr, rows, edge, coefficient, scale, dscore, dout, dz, ds_src):
    """The gradients of z and s_src, pulled over the transposed CSR of `segment.transpose_csr`.

    indptr int64 (n_src + 1,), rows int32 (m,), edge int64 (m,)
    coefficient, scale, dscore, dout  as in `attention_adjoint_targets`
    dz      as dout (n_src, heads, width)  overwritten
    ds_src  as dout (n_src, heads)         overwritten
    """
    num_heads, width = dz.shape[1], dz.shape[2]
    for share in prange(NUM_SHARES):
        for u in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            for h in range(num_heads):
                row = dz[u, h]
                total = dz.dtype.type(0)
                for j in range(width):
                    row[j] = 0
                for k in range(indptr[u], indptr[u + 1]):
                    e = edge[k]
                    total += dscore[e, h]
                    w = coefficient[e, h] * scale
                    if w > 0:
                        gradient = dout[rows[k], h]
                        for j in range(width):
                            row[j] += w * gradient[j]
                ds_src[u, h] = total
