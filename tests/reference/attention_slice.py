"""Graph attention in slices, edge by edge."""

import numpy as np

from reference.epilogue import column_bits
from reference.rng import draw
from reference.spmm import edges_of


def looped_edges(run):
    """(target, source) of every edge but self-loops, and of a loop at each target."""
    first, indptr, indices, _ = run
    edges = [(first + i, first + i) for i in range(len(indptr) - 1)]
    return edges + [(first + i, u) for i, u, _ in edges_of(indptr, indices) if u != first + i]


def sliced_edges(edges, part):
    """(target, source, segment, softmax, slope, what dropout multiplies by) of edges."""
    _, s_src, s_dst, _, head, (key, threshold, scale), top, total = part
    for v, u in edges:
        for s in range(len(head)):
            score = float(s_src[u, s]) + float(s_dst[v, s])
            softmax = np.exp((score if score > 0 else 0.2 * score) - top[v, s]) / total[v, s]
            bits = column_bits(draw(draw(key, v), u), int(head[s]))
            kept = float(scale) if threshold == 0 or bits >= threshold else 0.0
            yield v, u, s, softmax, 1 if score > 0 else 0.2, kept


def rows_of(run):
    """The vertices of a run."""
    return slice(run.first, run.first + len(run.indptr) - 1)


def softmax_slice(run, part):
    edges, s_src, s_dst = looped_edges(run), part.s_src, part.s_dst
    for v in range(len(s_dst))[rows_of(run)]:
        score = np.array([s_src[u].astype(np.float64) + s_dst[v] for t, u in edges if t == v])
        score = np.where(score > 0, score, 0.2 * score)
        part.top[v] = score.max(axis=0)
        part.total[v] = np.exp(score - score.max(axis=0)).sum(axis=0)


def columns_of(part, s):
    """The columns of segment s."""
    return slice(part.segment[s], part.segment[s + 1])


def attend_slice(run, part, out):
    result = np.zeros(out.shape)
    for v, u, s, softmax, _, kept in sliced_edges(looped_edges(run), part):
        columns = columns_of(part, s)
        result[v - run.first, columns] += softmax * kept * part.z[u, columns]
    out[:] = result


def attend_slice_adjoint_targets(run, part, dout, mean, ds_dst):
    rows, found = rows_of(run), list(sliced_edges(looped_edges(run), part))

    def dot(v, u, s, kept):
        columns = columns_of(part, s)
        return kept * np.dot(dout[v, columns].astype(np.float64), part.z[u, columns])

    mean[rows] = ds_dst[rows] = 0
    for v, u, s, softmax, _, kept in found:
        mean[v, s] += softmax * dot(v, u, s, kept)
    for v, u, s, softmax, slope, kept in found:
        ds_dst[v, s] += slope * softmax * (dot(v, u, s, kept) - mean[v, s])


def attend_slice_adjoint_sources(run, part, dout, mean, dz, ds_src):
    edges = [(v, u) for u, v in looped_edges(run)]
    dz[:], ds_src[rows_of(run)] = 0, 0
    for v, u, s, softmax, slope, kept in sliced_edges(edges, part):
        columns = columns_of(part, s)
        gradient = dout[v, columns].astype(np.float64)
        dz[u - run.first, columns] += softmax * kept * gradient
        ds_src[u, s] += slope * softmax * (kept * np.dot(gradient, part.z[u, columns]) - mean[v, s])
