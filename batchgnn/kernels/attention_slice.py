"""Graph attention (GAT) of all heads or parts of heads that a rank has, walked in chunks of edges.

As kernels/attention.py, but nothing is kept per edge: the softmax is remembered as its maximum and
sum per target, and computed again in the adjoint. So the edges can be read from a file again and
again. Each vertex is its own neighbour once, first; a self-loop of the graph is passed over.

The columns of z belong to *segments*: segment s has the columns segment[s] : segment[s + 1], which
are some of those of head[s]. Gradients of scores are linear in the columns: where a head is cut
into segments on several ranks, its gradients are the sums of theirs.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.attention import SLOPE
from batchgnn.kernels.epilogue import column_bits
from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.rng import draw
from batchgnn.kernels.spmm import NUM_SHARES, share_begin

ONE = np.float32(1)


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
def softmax_slice(indptr, indices, first, s_src, s_dst, top, total):
    """What is remembered of the softmax over the edges into v = first + i, for each segment.

    indptr     int64 (n + 1,)   edges into v are indptr[i] : indptr[i + 1]; indptr[0] = 0
    indices    integers (m,)    source of each edge, an id of the whole graph
    s_src, s_dst  float32 or float64 (N, S)   scores of the head of each segment
    top, total as s_src (N, S)  overwritten in the rows v: largest score, and sum of exponentials
    """
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
def attend_slice(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total, out
):
    """out[i] = sum over u of dropout(softmax(leaky(s_src[u] + s_dst[v]))) z[u], v = first + i.

    z          as s_src (N, d)  own columns
    segment    int64 (S + 1,)   from 0 to d; head int64 (S,), the number of each segment's head
    key, threshold, scale       as in `epilogue.dropout`; keyed by (target, source, head)
    out        as z (n, d)      overwritten
    Other arguments as `softmax_slice`; top and total as it left them.

    O(m d). Eq. 3 and 6 of arXiv:1710.10903. The same result for any number of threads.
    """
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
def attend_slice_adjoint_targets(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total,
    dout, mean, ds_dst,
):  # fmt: skip
    """The gradient of s_dst, and the mean over the softmax of the gradients of its coefficients.

    dout    as z (N, d)   gradient of the results
    mean    as z (N, S)   overwritten in the rows v: sum over u of softmax times its gradient
    ds_dst  as z (N, S)   overwritten in the rows v
    Other arguments as `attend_slice`; top and total as it left them.
    """
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
def attend_slice_adjoint_sources(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total,
    dout, mean, dz, ds_src,
):  # fmt: skip
    """The gradients of z and s_src, pulled by sources u = first + i over their out-edges.

    indptr, indices  of the transposed CSR: targets of each source
    mean    as `attend_slice_adjoint_targets` left it
    dz      as z (n, d)   overwritten
    ds_src  as z (N, S)   overwritten in the rows u
    Other arguments as `attend_slice_adjoint_targets`.
    """
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
