"""Graph attention in slices, edge by edge."""

import numpy as np

from reference.epilogue import column_bits
from reference.rng import draw
from reference.spmm import edges_of


def looped_edges(indptr, indices, first):
    """(target, source) of every edge but self-loops, and of a loop at each target."""
    edges = [(first + i, first + i) for i in range(len(indptr) - 1)]
    return edges + [(first + i, u) for i, u, _ in edges_of(indptr, indices) if u != first + i]


def sliced_edges(edges, s_src, s_dst, head, key, threshold, scale, top, total):
    """(target, source, segment, softmax, slope, what dropout multiplies by) of edges."""
    for v, u in edges:
        for s in range(len(head)):
            score = float(s_src[u, s]) + float(s_dst[v, s])
            softmax = np.exp((score if score > 0 else 0.2 * score) - top[v, s]) / total[v, s]
            bits = column_bits(draw(draw(key, v), u), int(head[s]))
            kept = float(scale) if threshold == 0 or bits >= threshold else 0.0
            yield v, u, s, softmax, 1 if score > 0 else 0.2, kept


def softmax_slice(indptr, indices, first, s_src, s_dst, top, total):
    edges = looped_edges(indptr, indices, first)
    for v in range(first, first + len(indptr) - 1):
        score = np.array([s_src[u].astype(np.float64) + s_dst[v] for t, u in edges if t == v])
        score = np.where(score > 0, score, 0.2 * score)
        top[v], total[v] = score.max(axis=0), np.exp(score - score.max(axis=0)).sum(axis=0)


def attend_slice(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total, out
):
    result = np.zeros(out.shape)
    rest = (s_src, s_dst, head, key, threshold, scale, top, total)
    for v, u, s, softmax, _, kept in sliced_edges(looped_edges(indptr, indices, first), *rest):
        columns = slice(segment[s], segment[s + 1])
        result[v - first, columns] += softmax * kept * z[u, columns]
    out[:] = result


def attend_slice_adjoint_targets(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total,
    dout, mean, ds_dst,
):  # fmt: skip
    rows = slice(first, first + len(indptr) - 1)
    edges = looped_edges(indptr, indices, first)
    rest = (s_src, s_dst, head, key, threshold, scale, top, total)
    found = list(sliced_edges(edges, *rest))

    def dot(v, u, s, kept):
        columns = slice(segment[s], segment[s + 1])
        return kept * np.dot(dout[v, columns].astype(np.float64), z[u, columns])

    mean[rows] = ds_dst[rows] = 0
    for v, u, s, softmax, _, kept in found:
        mean[v, s] += softmax * dot(v, u, s, kept)
    for v, u, s, softmax, slope, kept in found:
        ds_dst[v, s] += slope * softmax * (dot(v, u, s, kept) - mean[v, s])


def attend_slice_adjoint_sources(
    indptr, indices, first, z, s_src, s_dst, segment, head, key, threshold, scale, top, total,
    dout, mean, dz, ds_src,
):  # fmt: skip
    rows = slice(first, first + len(indptr) - 1)
    edges = [(v, u) for u, v in looped_edges(indptr, indices, first)]
    rest = (s_src, s_dst, head, key, threshold, scale, top, total)
    dz[:], ds_src[rows] = 0, 0
    for v, u, s, softmax, slope, kept in sliced_edges(edges, *rest):
        columns = slice(segment[s], segment[s + 1])
        gradient = dout[v, columns].astype(np.float64)
        dz[u - first, columns] += softmax * kept * gradient
        ds_src[u, s] += slope * softmax * (kept * np.dot(gradient, z[u, columns]) - mean[v, s])
