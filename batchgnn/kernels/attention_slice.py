"""Graph attention (GAT) of all heads or parts of heads that a rank has, walked in chunks of edges.

As kernels/attention.py, but nothing is kept per edge: the softmax is remembered as its maximum and
sum per target, and computed again in the adjoint. So the edges can be read from a file again and
again. Each vertex is its own neighbour once, first; a self-loop of the graph is passed over.

The columns of z belong to *segments*: segment s has the columns segment[s] : segment[s + 1], which
are some of those of head[s]. Gradients of scores are linear in the columns: where a head is cut
into segments on several ranks, its gradients are the sums of theirs.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.attention import SLOPE
from batchgnn.kernels.epilogue import Mask, column_bits
from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.rng import draw
from batchgnn.kernels.spmm import NUM_SHARES, share_begin

ONE = np.float32(1)


class HeadSlice(NamedTuple):
    """Columns of S segments of heads, of all N vertices, and what is remembered of their softmax.

    z        float32 or float64 (N, d)  own columns
    s_src    as z (N, S)       scores of the head of each segment, of a vertex as a source
    s_dst    as z (N, S)       and as a target
    segment  int64 (S + 1,)    from 0 to d
    head     int64 (S,)        number of each segment's head
    mask     epilogue.Mask     keyed by (target, source, head)
    top      as z (N, S)       the largest score of the edges into each vertex
    total    as z (N, S)       the sum of exponentials of scores less `top`
    """

    z: np.ndarray
    s_src: np.ndarray
    s_dst: np.ndarray
    segment: np.ndarray
    head: np.ndarray
    mask: Mask
    top: np.ndarray
    total: np.ndarray


@register_jitable
def leaky_score(score):
    """LeakyReLU, as `attention.leaky`."""
    return score if score > 0 else score * SLOPE


@register_jitable
def is_kept(target_key, u, head, threshold):
    """Whether dropout keeps the coefficient of an edge from u for a head."""
    if threshold == 0:
        return True
    bits = draw(target_key, np.uint64(u))
    low, high = np.uint32(bits & np.uint64(0xFFFFFFFF)), np.uint32(bits >> np.uint64(32))
    return column_bits(low, high, head) >= threshold


@register_jitable
def neighbour(indices, e, begin, own):
    """Where edge e comes from; `own` for the edge before the first, -1 for a self-loop."""
    if e < begin:
        return own
    other = np.int64(indices[e])
    return np.int64(-1) if other == own else other


@register_jitable
def softmax_again(score, top, total):
    """The coefficient of an edge, and the slope of the LeakyReLU there."""
    return np.exp(leaky_score(score) - top) / total, ONE if score > 0 else SLOPE


@register_jitable
def dot_of_columns(a, b, begin, end):
    """Sum of a[j] b[j] over begin <= j < end."""
    total = a.dtype.type(0)
    for j in range(begin, end):
        total += a[j] * b[j]
    return total


@parallel_kernel(fastmath={"contract"})
def softmax_slice(run, part):
    """Fill top and total in the rows v = first + i, from the edges of the run into them.

    run   walk.Run   edges into v are indptr[i] : indptr[i + 1]; indices are ids of the graph
    part  HeadSlice
    """
    indptr, indices, first = run.indptr, run.indices, run.first
    s_src, s_dst, top, total = part.s_src, part.s_dst, part.top, part.total
    for share in prange(NUM_SHARES):
        for i in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            v, begin, end = first + i, indptr[i], indptr[i + 1]
            for s in range(s_src.shape[1]):
                score_v = s_dst[v, s]
                peak = leaky_score(s_src[v, s] + score_v)
                for e in range(begin, end):
                    peak = max(peak, leaky_score(s_src[np.int64(indices[e]), s] + score_v))
                norm = s_src.dtype.type(0)
                for e in range(begin - 1, end):
                    u = neighbour(indices, e, begin, v)
                    if u >= 0:
                        norm += np.exp(leaky_score(s_src[u, s] + score_v) - peak)
                top[v, s], total[v, s] = peak, norm


@parallel_kernel(fastmath={"contract"})
def attend_slice(run, part, out):
    """out[i] = sum over u of dropout(softmax(leaky(s_src[u] + s_dst[v]))) z[u], v = first + i.

    out  as z (n, d)  overwritten
    Other arguments as `softmax_slice`, and as it left them.

    O(m d). Eq. 3 and 6 of arXiv:1710.10903. The same result for any number of threads.
    """
    indptr, indices, first = run.indptr, run.indices, run.first
    z, s_src, s_dst, segment, head, mask, top, total = part
    key, threshold, scale = mask
    for share in prange(NUM_SHARES):
        for i in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            v, row = first + i, out[i]
            target_key = draw(key, np.uint64(v))
            for j in range(len(row)):
                row[j] = 0
            for s in range(len(head)):
                for e in range(indptr[i] - 1, indptr[i + 1]):
                    u = neighbour(indices, e, indptr[i], v)
                    if u >= 0 and is_kept(target_key, u, head[s], threshold):
                        c, _ = softmax_again(s_src[u, s] + s_dst[v, s], top[v, s], total[v, s])
                        w = c * scale
                        source = z[u]
                        for j in range(segment[s], segment[s + 1]):
                            row[j] += w * source[j]


@parallel_kernel(fastmath={"contract"})
def attend_slice_adjoint_targets(run, part, dout, mean, ds_dst):
    """The gradient of s_dst, and the mean over the softmax of the gradients of its coefficients.

    dout    as z (N, d)   gradient of the results
    mean    as z (N, S)   overwritten in the rows v: sum over u of softmax times its gradient
    ds_dst  as z (N, S)   overwritten in the rows v
    Other arguments as `attend_slice`.
    """
    indptr, indices, first = run.indptr, run.indices, run.first
    z, s_src, s_dst, segment, head, mask, top, total = part
    key, threshold, scale = mask
    for share in prange(NUM_SHARES):
        for i in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            v = first + i
            target_key = draw(key, np.uint64(v))
            for s in range(len(head)):
                a, b = segment[s], segment[s + 1]
                weighted = sloped = slopes = z.dtype.type(0)
                for e in range(indptr[i] - 1, indptr[i + 1]):
                    u = neighbour(indices, e, indptr[i], v)
                    if u < 0:
                        continue
                    score = s_src[u, s] + s_dst[v, s]
                    c, slope = softmax_again(score, top[v, s], total[v, s])
                    slopes += slope * c
                    if is_kept(target_key, u, head[s], threshold):
                        dot = scale * dot_of_columns(dout[v], z[u], a, b)
                        weighted += c * dot
                        sloped += slope * c * dot
                mean[v, s] = weighted
                ds_dst[v, s] = sloped - weighted * slopes


@parallel_kernel(fastmath={"contract"})
def attend_slice_adjoint_sources(run, part, dout, mean, dz, ds_src):
    """The gradients of z and s_src, pulled by sources u = first + i over their out-edges.

    run     of the transposed CSR: indices are targets of each source
    mean    as `attend_slice_adjoint_targets` left it
    dz      as z (n, d)   overwritten
    ds_src  as z (N, S)   overwritten in the rows u
    Other arguments as `attend_slice_adjoint_targets`.
    """
    indptr, indices, first = run.indptr, run.indices, run.first
    z, s_src, s_dst, segment, head, mask, top, total = part
    key, threshold, scale = mask
    for share in prange(NUM_SHARES):
        for i in range(share_begin(indptr, share), share_begin(indptr, share + 1)):
            u, row = first + i, dz[i]
            for s in range(len(head)):
                a, b = segment[s], segment[s + 1]
                gradient = z.dtype.type(0)
                for j in range(a, b):
                    row[j] = 0
                for e in range(indptr[i] - 1, indptr[i + 1]):
                    v = neighbour(indices, e, indptr[i], u)
                    if v < 0:
                        continue
                    score = s_src[u, s] + s_dst[v, s]
                    c, slope = softmax_again(score, top[v, s], total[v, s])
                    dot = z.dtype.type(0)
                    if is_kept(draw(key, np.uint64(v)), u, head[s], threshold):
                        dot = scale * dot_of_columns(dout[v], z[u], a, b)
                        w = c * scale
                        arriving = dout[v]
                        for j in range(a, b):
                            row[j] += w * arriving[j]
                    gradient += slope * c * (dot - mean[v, s])
                ds_src[u, s] = gradient
