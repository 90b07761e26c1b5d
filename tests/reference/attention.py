"""Graph attention by the full softmax and its Jacobian."""

import numpy as np

from reference.epilogue import column_bits
from reference.rng import draw
from reference.spmm import edges_of


def softmax_over_edges(indptr, indices, heads):
    """The coefficient of each edge and head."""
    _, s_src, s_dst = heads
    out = np.zeros((len(indices), s_dst.shape[1]))
    for v, u, e in edges_of(indptr, indices):
        score = s_src[u].astype(np.float64) + s_dst[v]
        out[e] = np.where(score > 0, score, 0.2 * score)
    for v in range(len(indptr) - 1):
        own = slice(indptr[v], indptr[v + 1])
        out[own] = np.exp(out[own] - out[own].max(axis=0, initial=-np.inf))
        out[own] /= out[own].sum(axis=0)
    return out


def attention(indptr, indices, heads, target_ids, source_ids, mask, first_head, coefficient, out):
    alpha, z = softmax_over_edges(indptr, indices, heads), heads.z
    key, threshold, scale = mask
    out[:] = 0
    total = np.zeros(out.shape)
    for v, u, e in edges_of(indptr, indices):
        edge_key = draw(draw(key, target_ids[v]), source_ids[u])
        for h in range(z.shape[1]):
            dropped = threshold > 0 and column_bits(edge_key, first_head + h) < threshold
            coefficient[e, h] = -alpha[e, h] if dropped else alpha[e, h]
            if not dropped:
                total[v, h] += alpha[e, h] * scale * z[u, h].astype(np.float64)
    out[:] = total


def attention_adjoint_targets(indptr, indices, heads, coefficient, scale, dout, dscore, ds_dst):
    """By the softmax's full Jacobian, a matrix for each target and head."""
    z, s_src, s_dst = heads
    total = np.zeros(ds_dst.shape)
    for v, h in np.ndindex(*ds_dst.shape):
        own = slice(indptr[v], indptr[v + 1])
        alpha = np.abs(coefficient[own, h]).astype(np.float64)
        sources = z[indices[own], h].astype(np.float64)
        dalpha = np.where(coefficient[own, h] > 0, scale * (sources @ dout[v, h]), 0)
        jacobian = np.diag(alpha) - np.outer(alpha, alpha)
        slope = np.where(s_src[indices[own], h] + s_dst[v, h] > 0, 1, 0.2)
        dscore[own, h] = slope * (jacobian @ dalpha)
        total[v, h] = (slope * (jacobian @ dalpha)).sum()
    ds_dst[:] = total


def attention_adjoint_sources(indptr, rows, edge, coefficient, scale, dscore, dout, dz, ds_src):
    dz_total, ds_total = np.zeros(dz.shape), np.zeros(ds_src.shape)
    for u, v, k in edges_of(indptr, rows):
        kept = np.maximum(coefficient[edge[k]], 0).astype(np.float64) * scale
        dz_total[u] += kept[:, None] * dout[v]
        ds_total[u] += dscore[edge[k]]
    dz[:], ds_src[:] = dz_total, ds_total
