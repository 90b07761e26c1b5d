"""The slow, obvious version of every kernel in batchgnn/kernels, under the same name and signature.

Loops and dense matrices in Python; arithmetic in float64 and in Python's own integers.
"""

from itertools import pairwise

import numpy as np

from batchgnn.kernels.address import array_at
from batchgnn.kernels.rows import Rows

# --- rng -----------------------------------------------------------------------------------------

MASK64, MASK32 = 2**64 - 1, 2**32 - 1


def mix(x):
    x = int(x)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK64
    return x ^ (x >> 31)


def draw(key, ident):
    return mix(int(key) ^ mix((int(ident) + 0x9E3779B97F4A7C15) & MASK64))


def stream_key(seed, purpose, epoch, step, layer):
    key = mix((int(seed) + 0x9E3779B97F4A7C15) & MASK64)
    for part in (purpose, epoch, step, layer):
        key = draw(key, part)
    return key


def below(bits, n):
    return (int(bits) >> 32) * int(n) >> 32


def unit(bits):
    return (int(bits) >> 11) / 2**53


def fill_draws(key, idents, out):
    for i, ident in enumerate(idents):
        out[i] = draw(key, ident)


# --- spmm, segment -------------------------------------------------------------------------------


def edges_of(indptr, indices):
    """(target, source, edge) of each edge, in the order of the CSR."""
    for v in range(len(indptr) - 1):
        for e in range(indptr[v], indptr[v + 1]):
            yield v, int(indices[e]), e


def matrix_of(x):
    """A matrix, or Rows as one; halves as floats."""
    if isinstance(x, Rows):
        x = np.array([array_at(a, (x.like.shape[1],), x.like) for a in x.address])
        x = x.reshape(-1, x.shape[-1] if x.size else 0)
    if x.dtype == np.uint16:
        return x.view(np.float16).astype(np.float32)
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.int16 else x


def weighted_matrix(indptr, indices, weight, per, shape):
    dense = np.zeros(shape)
    for v, u, e in edges_of(indptr, indices):
        dense[v, u] += 1 if per == 2 else weight[(e, v)[per]]
    return dense


def spmm(indptr, indices, weight, per, x, own, out):
    x = matrix_of(x).astype(np.float64)
    product = weighted_matrix(indptr, indices, weight, per, (len(out), len(x))) @ x
    if own == 3:
        out[:, : x.shape[1]] += product
        return
    mine = x[: len(out)]
    out[:] = [product, np.hstack([product, mine]), product + mine][own]


def spmm_adjoint(indptr, indices, weight, per, x, dy, own, out):
    width = out.shape[1]
    matrix = weighted_matrix(indptr, indices, weight, per, (len(out), len(x)))
    out[:] = matrix @ x[:, :width].astype(np.float64)
    if own:
        out[: len(dy)] += dy[:, width:] if own == 1 else dy


def scale_rows(x, weight, out):
    out[:] = weight[:, None].astype(np.float64) * x[:, : out.shape[1]]


def transpose_csr(indptr, indices, out_indptr, out_rows, out_edge):
    by_source = sorted((u, v, e) for v, u, e in edges_of(indptr, indices))
    out_indptr[:] = [sum(u < s for u, _, _ in by_source) for s in range(len(out_indptr))]
    out_rows[:] = [v for _, v, _ in by_source]
    out_edge[:] = [e for _, _, e in by_source]


def add_self_loops(indptr, indices, out_indptr, out_indices, out_edge):
    kept = [(v, -1, v) for v in range(len(indptr) - 1)]
    kept += [(v, e, u) for v, u, e in edges_of(indptr, indices) if u != v]
    kept.sort()
    out_indptr[:] = [sum(v < t for v, _, _ in kept) for t in range(len(indptr))]
    out_edge[: len(kept)] = [e for _, e, _ in kept]
    out_indices[: len(kept)] = [u for _, _, u in kept]
    return len(kept)


def gcn_weights(indptr, indices, edge, weight, scale, factor, out):
    for v, u, e in edges_of(indptr, indices):
        if edge[e] == -1:
            out[e] = float(scale[v]) ** 2
        else:
            own = float(weight[edge[e]]) if len(weight) else 1.0
            out[e] = float(scale[v]) * float(scale[u]) * own * float(factor[v])


# --- aggregate -----------------------------------------------------------------------------------


def place_sources(ids, first_id, first_row, num_rows, seen, before, row_of, out):
    marked = [v for v in range(64 * len(seen)) if int(seen[v // 64]) >> v % 64 & 1]
    for e, ident in enumerate(ids.tolist()):
        inside = first_id <= ident < first_id + num_rows
        out[e] = first_row + ident - first_id if inside else row_of[marked.index(ident)]


def gcn_edges(first, indptr, rows, weight, norm, out_indptr, out_rows, out_weight):
    kept = []
    for v in range(len(indptr) - 1):
        mine = first + v
        kept.append((v, mine, float(norm[mine]) ** 2))
        for e in range(indptr[v], indptr[v + 1]):
            if rows[e] != mine:
                own = float(weight[e]) if len(weight) else 1.0
                kept.append((v, rows[e], float(norm[mine]) * float(norm[rows[e]]) * own))
    out_indptr[:] = [sum(v < t for v, _, _ in kept) for t in range(len(indptr))]
    out_rows[: len(kept)] = [u for _, u, _ in kept]
    out_weight[: len(kept)] = [w for _, _, w in kept]
    return len(kept)


def put_rows(rows, at, added, out):
    rows = matrix_of(rows)
    out[at, : rows.shape[1]] = rows + (out[at, : rows.shape[1]] if added else 0)


def join_rows(aggregated, x, own, out):
    parts = matrix_of(aggregated), matrix_of(x)
    out[:] = np.hstack(parts) if own == 1 else parts[0] + parts[1]


# --- epilogue ------------------------------------------------------------------------------------

NONE, RELU, ELU = 0, 1, 2


def column_bits(row_key, column):
    """murmur3's 32-bit finaliser, with the upper half of the row's key in its middle."""
    h = (row_key % 2**32 + column * 0x9E3779B9) & MASK32
    h = ((h ^ (h >> 16)) * 0x85EBCA6B & MASK32) ^ (row_key >> 32)
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & MASK32
    return h ^ (h >> 16)


def keeps(shape, ids, key, threshold):
    """Which elements dropout keeps."""
    kept = np.ones(shape, bool)
    for i, j in np.ndindex(*shape):
        if threshold > 0:
            kept[i, j] = column_bits(draw(key, ids[i]), j) >= threshold
    return kept


def dropout(x, ids, key, threshold, scale, out):
    out[:] = np.where(keeps(x.shape, ids, key, threshold), x.astype(np.float64) * scale, 0)


def epilogue(y, bias, activation, ids, key, threshold, scale):
    z = y.astype(np.float64) + (bias if len(bias) else 0)
    if activation == RELU:
        z = np.maximum(z, 0)
    if activation == ELU:
        z = np.where(z < 0, np.expm1(np.minimum(z, 0)), z)
    if threshold > 0:
        dropout(z, ids, key, threshold, scale, z)
    y[:] = z


def epilogue_adjoint(dy, y, activation, ids, key, threshold, scale, partial):
    d = np.where(keeps(dy.shape, ids, key, threshold), dy.astype(np.float64), 0)
    if threshold > 0:
        d = d * scale
    if activation == RELU:
        d = np.where(y > 0, d, 0)
    if activation == ELU:
        before_dropout = y.astype(np.float64) / scale
        d = np.where(y < 0, d * (before_dropout + 1), d)
    dy[:] = d
    for chunk in range(len(partial)):
        partial[chunk] = d[256 * chunk : 256 * (chunk + 1)].sum(axis=0)


# --- attention -----------------------------------------------------------------------------------


def softmax_over_edges(indptr, indices, s_src, s_dst):
    """The coefficient of each edge and head."""
    out = np.zeros((len(indices), s_dst.shape[1]))
    for v, u, e in edges_of(indptr, indices):
        score = s_src[u].astype(np.float64) + s_dst[v]
        out[e] = np.where(score > 0, score, 0.2 * score)
    for v in range(len(indptr) - 1):
        own = slice(indptr[v], indptr[v + 1])
        out[own] = np.exp(out[own] - out[own].max(axis=0, initial=-np.inf))
        out[own] /= out[own].sum(axis=0)
    return out


def attention(
    indptr, indices, z, s_src, s_dst, ids, key, threshold, scale, first_head, coefficient, out
):
    alpha = softmax_over_edges(indptr, indices, s_src, s_dst)
    out[:] = 0
    total = np.zeros(out.shape)
    for v, u, e in edges_of(indptr, indices):
        edge_key = draw(draw(key, ids[v]), ids[u])
        for h in range(z.shape[1]):
            dropped = threshold > 0 and column_bits(edge_key, first_head + h) < threshold
            coefficient[e, h] = -alpha[e, h] if dropped else alpha[e, h]
            if not dropped:
                total[v, h] += alpha[e, h] * scale * z[u, h].astype(np.float64)
    out[:] = total


def attention_adjoint_targets(
    indptr, indices, z, s_src, s_dst, coefficient, scale, dout, dscore, ds_dst
):
    """By the softmax's full Jacobian, a matrix for each target and head."""
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


# --- columns, walk -------------------------------------------------------------------------------


def pack_columns(x, rows, scale, bounds, out):
    factor = scale.astype(np.float64)[rows, None] if len(scale) else 1.0
    chosen = x[rows] * factor
    parts = [chosen[:, a:b].ravel() for a, b in pairwise(bounds)]
    out[:] = np.concatenate(parts)


def unpack_columns(blocks, bounds, count, first, scale, coefficient, x, column, out):
    parts = np.split(blocks, count * bounds[1:-1])
    whole = np.hstack([part.reshape(count, -1) for part in parts if part.size or not count])
    rows, width = slice(first, first + count), bounds[-1]
    if len(scale):
        whole = whole * scale.astype(np.float64)[rows, None]
    if len(coefficient):
        whole = whole + coefficient[rows, None] * x[rows, column : column + width]
    out[rows, :width] = whole


def first_chunks(indptr, indices, first, chunk, out):
    for _, u, _ in edges_of(indptr, indices):
        out[u] = min(out[u], chunk)
    for v in range(len(indptr) - 1):
        out[first + v] = min(out[first + v], chunk)


def loop_weights(indptr, indices, weight, first, out):
    out[:] = 0
    for v, u, e in edges_of(indptr, indices):
        if u == first + v:
            out[v] += weight[e] if len(weight) else 1


# --- norm ----------------------------------------------------------------------------------------


def layer_norm(x, bias, gain, shift, normal, rstd, out):
    z = x.astype(np.float64) + bias
    z = z - z.mean(axis=1, keepdims=True)
    r = 1 / np.sqrt((z**2).mean(axis=1) + 1e-5)
    normal[:], rstd[:] = z * r[:, None], r
    out[:] = z * r[:, None] * gain + shift


def layer_norm_adjoint(dy, gain, normal, rstd, partial):
    """By the full Jacobian of each row."""
    d, width = dy.astype(np.float64), dy.shape[1]
    dx = np.empty(d.shape)
    for i in range(len(d)):
        n = normal[i].astype(np.float64)
        jacobian = rstd[i] * (np.eye(width) - 1 / width - np.outer(n, n) / width)
        dx[i] = jacobian @ (gain * d[i])
    for chunk in range(len(partial)):
        own = slice(256 * chunk, 256 * (chunk + 1))
        partial[chunk] = (d * normal)[own].sum(axis=0), d[own].sum(axis=0), dx[own].sum(axis=0)
    dy[:] = dx


def column_products(a, b, partial):
    a = a.astype(np.float64)
    for chunk in range(len(partial)):
        own = slice(256 * chunk, 256 * (chunk + 1))
        partial[chunk] = (a * b)[own].sum(axis=0), a[own].sum(axis=0)


def batch_norm(x, mean, rstd, gain, shift, normal, out):
    normal[:] = (x.astype(np.float64) - mean) * rstd
    out[:] = (x.astype(np.float64) - mean) * rstd * gain + shift


def batch_norm_adjoint(dy, normal, slope, mean_product, mean_dy):
    dy[:] = slope * (dy.astype(np.float64) - mean_dy - normal * mean_product)


# --- products ------------------------------------------------------------------------------------


def multiply_rows(x, weight, out, onto):
    product = x.astype(np.float64) @ weight.astype(np.float64)
    out[...] = out + product if onto else product


def multiply_columns(x, dy, out):
    out[...] = x.T.astype(np.float64) @ dy.astype(np.float64)


# --- loss ----------------------------------------------------------------------------------------


def softmax(logits, out):
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    out[:] = e / e.sum(axis=1, keepdims=True)


def sigmoid(logits, out):
    out[:] = np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def softmax_cross_entropy(logits, labels, scale, dlogits, loss):
    z = logits.astype(np.float64)
    softmax(z, probability := np.empty(z.shape))
    for i, label in enumerate(labels):
        known = label >= 0
        loss[i] = np.logaddexp.reduce(z[i]) - z[i, label] if known else 0
        dlogits[i] = scale * (probability[i] - np.eye(z.shape[1])[label]) if known else 0


def sigmoid_cross_entropy(logits, labels, scale, dlogits, loss):
    z, t = logits.astype(np.float64), labels.astype(np.float64)
    sigmoid(z, probability := np.empty(z.shape))
    loss[:] = (t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)).mean(axis=1)
    dlogits[:] = scale * (probability - t) / z.shape[1]


# --- optim ---------------------------------------------------------------------------------------


def adam(parameter, grad, first, second, lr, beta1, beta2, eps, weight_decay, step):
    g = grad.astype(np.float64) + weight_decay * parameter
    m, v = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
    first[:], second[:] = m, v
    parameter -= lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)


def sgd(parameter, grad, velocity, lr, momentum, weight_decay):
    velocity[:] = momentum * velocity + grad + weight_decay * parameter
    parameter -= lr * velocity


# --- half width ----------------------------------------------------------------------------------


def narrow_rows(x, out):
    """The nearest number of the format; of two as near, the one of even bits."""
    half = out.dtype == np.uint16
    bits = np.arange(0x7C01 if half else 0x7F81, dtype=np.uint16)
    if half:
        values = bits.view(np.float16).astype(np.float64)
    else:
        values = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    values[-1] = 2.0**16 if half else 2.0**128  # infinity: where the next number would be
    num_lost = 0
    for place, value in np.ndenumerate(x):
        if np.isnan(value):
            nearest = len(bits)  # the first pattern above infinity is a nan
        else:
            away = np.abs(values - min(abs(float(value)), values[-1]))
            candidates = np.flatnonzero(away == away.min())
            nearest = candidates[np.argmin(candidates % 2)]
            num_lost += np.isfinite(value) and nearest == len(bits) - 1
        sign = 0x8000 * bool(np.signbit(value))
        out[place] = np.uint16(nearest | sign).view(out.dtype)
    return num_lost


# --- sampling, relabelling, requests, gathering: functions of lists, which return their result ---


def choose(key, degree, count):
    """Floyd's algorithm for up to 32 positions, selection sampling above."""
    if count == degree:
        return list(range(count))
    if count <= 32:
        chosen = []
        for top in range(degree - count, degree):
            position = below(draw(key, top - degree + count), top + 1)
            chosen.append(top if position in chosen else position)
        return chosen
    chosen = []
    for position in range(degree):
        if below(draw(key, position), degree - position) < count - len(chosen):
            chosen.append(position)
    return chosen


def locate(lists, fanout):
    """(degree, count) of each list of in-neighbours."""
    return [(len(row), len(row) if fanout < 0 else min(len(row), fanout)) for row in lists]


def draw_neighbors(keys, ids, lists, fanout):
    """The drawn neighbours of each list."""
    return [
        np.array([row[j] for j in choose(draw(int(key), int(v)), degree, count)], np.int64)
        for key, v, row, (degree, count) in zip(
            keys, ids, lists, locate(lists, fanout), strict=True
        )
    ]


def find_or_add(ident, table, new_row):
    """A dictionary's setdefault."""
    return table.setdefault(int(ident), new_row)


def relabel(neighbors, ids):
    """(ids, indices): rows in the order of first appearance, after `ids`."""
    table = {int(v): row for row, v in enumerate(ids)}
    indices = [find_or_add(v, table, len(table)) for v in neighbors]
    return list(table), indices


def relabel_blocks(lists):
    """`relabel` of each block's (neighbors, ids)."""
    return [relabel(neighbors, ids) for neighbors, ids in lists]


def place_rows(ids, owner, local_row, me):
    """(distinct remote ids, rows): an own row, or -1 - place among the remote ids."""
    remote = list(dict.fromkeys(int(v) for v, p in zip(ids, owner, strict=True) if p != me))
    rows = [
        row if p == me else -1 - remote.index(int(v))
        for v, p, row in zip(ids, owner, local_row, strict=True)
    ]
    return remote, rows


def renumber_fetched(rows, place):
    """Negative rows through `place`."""
    return [r if r >= 0 else -1 - place[-1 - r] for r in rows]


def count_owners(owner, num_ranks):
    """How many of `owner` equal each rank."""
    return [list(owner).count(p) for p in range(num_ranks)]


def post_requests(ids, owner, num_ranks):
    """The ids grouped by owner, in order."""
    return [v for p in range(num_ranks) for v, o in zip(ids, owner, strict=True) if o == p]


def read_replies(request, count, degree):
    """(indptr, degrees) of the requested rows."""
    return np.cumsum([0, *(count[q] for q in request)]), [degree[q] for q in request]


def copy_segments(request, edge_start, values):
    """The values that came with each request, one after the other."""
    return np.concatenate([values[edge_start[q] : edge_start[q + 1]] for q in request])


def address_rows(rows, first_row, address, row_bytes, fetched_address, fetched_bytes, out):
    starts = [int(a) + i * row_bytes for a, n in zip(address, np.diff(first_row), strict=True)
              for i in range(n)]  # fmt: skip
    out[:] = [starts[r] if r >= 0 else fetched_address + (-1 - r) * fetched_bytes for r in rows]


def copy_rows(x, out):
    out[:] = matrix_of(x)


def gather_values(rows, own):
    """Fancy indexing."""
    return np.asarray(own)[rows]


# --- reach, cached rows: functions of lists, which return their result ---------------------------


def mark_targets(shards):
    """Ids outside each shard that its out-edges lead to; a shard: (first id, lists of targets)."""
    found = set()
    for first, targets in shards:
        inside = range(first, first + len(targets))
        found |= {int(v) for row in targets for v in row if v not in inside}
    return found


def add_over_targets(targets, x, out):
    """out[u] plus the sum of x[v] over the targets v of each vertex u; x by global id."""
    return np.array([row + sum(x[v] for v in vs) for row, vs in zip(out, targets, strict=True)])


def log_missed_by_edge(log_missed, degree, fanout):
    share = np.array([1.0 if fanout < 0 or d <= fanout else fanout / d for d in degree])
    with np.errstate(divide="ignore"):
        return np.log(1 - share[:, None] * (1 - np.exp(log_missed.astype(np.float64))))


def reach(arcs, start, fanouts):
    """P of being among the vertices sampled within some hops, vertices taken as independent.

    arcs: (source, target) pairs; start (n, k): probability of being a seed
    """
    degree = np.bincount([v for _, v in arcs], minlength=len(start))
    reached = start.astype(np.float64)
    for fanout in fanouts:
        missed = 1 - reached
        for u, v in arcs:
            share = 1 if fanout < 0 else min(1, fanout / degree[v])
            missed[u] *= 1 - share * reached[v]
        reached = 1 - missed
    return reached


def enter_rows(ids):
    return {int(ident): row for row, ident in enumerate(ids)}


def redirect_rows(ids, owner, local_row, me, first_cached, table):
    """(owner, local row) of each id, where the table of `enter_rows` has a copy of it: ours."""
    far = [o != me and int(i) in table for i, o in zip(ids, owner, strict=True)]
    return [
        (me, first_cached + table[int(i)]) if copied else (o, row)
        for i, o, row, copied in zip(ids, owner, local_row, far, strict=True)
    ]


# --- ownership -----------------------------------------------------------------------------------


def shards_of(ids, offset, out):
    for i, ident in enumerate(ids):
        out[i] = next(s for s in range(len(offset) - 1) if offset[s] <= ident < offset[s + 1])


def owners_of(ids, offset, rank_of_shard, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = rank_of_shard[shard]


def local_rows_of(ids, offset, base, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = base[shard] + ids.astype(np.int64) - offset[shard]


# --- partition -----------------------------------------------------------------------------------


def row_sums(indptr, weight, out):
    for v in range(len(out)):
        out[v] = weight[indptr[v] : indptr[v + 1]].astype(np.float64).sum()


def count_neighbor_shards(indices, s, offset, seen, arcs):
    shard = np.empty(len(indices), np.int32)
    shards_of(indices, offset, shard)
    arcs[:] = np.bincount(shard, minlength=len(arcs))
    remote = np.unique(indices[shard != s])
    seen[remote] = s
    return len(remote)


def has_room(v, t, train, num_train, train_limit, weight, load, load_limit):
    seeds = all(num_train[t, r] < train_limit[r] for r in np.flatnonzero(train[v]))
    return seeds and load[t] + weight[v] <= load_limit


def wants_to_leave(v, train, shard, num_train, train_limit, load, size, load_limit, by_load):
    s = shard[v]
    if size[s] <= 1:
        return False
    if by_load:
        return load[s] > load_limit
    return any(num_train[s, r] > train_limit[r] for r in np.flatnonzero(train[v]))


def best_target(
    v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit, links
):
    near = shard[indices[indptr[v] : indptr[v + 1]]]
    count = {t: int((near == t).sum()) for t in range(len(load))}
    open_to_v = [
        t
        for t in range(len(load))
        if t != shard[v] and has_room(v, t, train, num_train, train_limit, weight, load, load_limit)
    ]
    if not open_to_v:
        return -1, 0
    best = min(open_to_v, key=lambda t: (-count[t], load[t], t))
    return best, count[shard[v]] - count[best]


def price_moves(
    indptr, indices, shard, train, num_train, train_limit, weight, load, size, load_limit, by_load,
    links, price,
):  # fmt: skip
    for v in range(len(shard)):
        price[v] = np.inf
        if wants_to_leave(v, train, shard, num_train, train_limit, load, size, load_limit, by_load):
            t, damage = best_target(
                v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            if t >= 0:
                price[v] = damage / weight[v] if by_load else damage


def move_in_order(
    order, price, indptr, indices, shard, train, num_train, train_limit, weight, load, size,
    load_limit, by_load, links,
):  # fmt: skip
    moves = 0
    for v in order:
        now = np.empty(len(shard))
        price_moves(
            indptr, indices, shard, train, num_train, train_limit, weight, load, size, load_limit,
            by_load, links, now,
        )  # fmt: skip
        if now[v] <= price[v] and np.isfinite(now[v]):
            t, _ = best_target(
                v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            shard[v] = t
            load[:] = [weight[shard == s].sum() for s in range(len(load))]
            size[:] = [(shard == s).sum() for s in range(len(load))]
            num_train[:] = [train[shard == s].sum(axis=0) for s in range(len(load))]
            moves += 1
    return moves


def cuthill_mckee(indptr, indices, group, start, out):
    degree = np.diff(indptr)
    queue, found = [], []
    for root in start:
        if root not in found:
            queue.append(root)
            found.append(root)
        while queue:
            v = queue.pop(0)
            near = {u for u in indices[indptr[v] : indptr[v + 1]] if group[u] == group[v]}
            new = sorted(near - set(found), key=lambda u: (degree[u], u))
            found += new
            queue += new
    out[:] = found


# --- permutation, generate, pairs ----------------------------------------------------------------


def permute(key, n, x):
    bits = next(b for b in range(3, 32) if 4**b >= n)
    while True:
        left, right = x >> bits, x % 2**bits
        for i in range(6):
            left, right = right, left ^ draw(key, right * 16 + i) % 2**bits
        x = left * 2**bits + right
        if x < n:
            return x


def unpermute(key, n, y):
    return [permute(key, n, x) for x in range(n)].index(y)


def positions(key, n, first, out):
    for i in range(len(out)):
        out[i] = unpermute(key, n, first + i)


def community_places(n, num_communities):
    """The places of each community, heaviest first."""
    return [[p for p in range(n) if p % num_communities == c] for c in range(num_communities)]


def owned_edges(key, place, n, num_communities, num_edges, exponent, shift, out):
    def below_rank(rank):
        return (rank + shift) ** (1 - exponent) - shift ** (1 - exponent)

    for community in community_places(n, num_communities):
        total = below_rank(len(community))
        for rank, p in enumerate(community):
            weight = (below_rank(rank + 1) - below_rank(rank)) / total
            mean = num_edges * weight * len(community) / n
            out[np.asarray(place) == p] = int(mean + unit(draw(key, p)))


def community_edges(
    key, id_key, place, begin, n, num_communities, inside, exponent, shift, out, found
):
    communities = community_places(n, num_communities)
    for i, mine in enumerate(place):
        own, partners = mine % num_communities, []
        others = [p for p in range(n) if p % num_communities != own]
        wanted = begin[i + 1] - begin[i]
        for attempt in range(32 * (wanted + 2)):
            a, b = (draw(draw(key, mine), 2 * attempt + k) for k in (0, 1))
            community = own
            if (a & MASK32) / 2**32 >= inside and others:
                community = others[below(a, len(others))] % num_communities
            size, p = len(communities[community]), 1 - exponent
            x = shift**p + unit(b) * ((size + shift) ** p - shift**p)
            other = communities[community][min(int(x ** (1 / p) - shift), size - 1)]
            low, high = sorted((int(mine), other))
            owner = (low, high)[draw(draw(key, low), high) % 2]
            new = other != mine and owner == mine and other not in partners
            if new and len(partners) < wanted:
                partners.append(other)
        found[i] = len(partners)
        ids = [permute(id_key, n, p) for p in partners]
        out[begin[i] : begin[i] + len(ids)] = ids


def rmat_edges(key, id_key, first, n, scale, a, b, c, source, target):
    ends = [int(x * 65536) for x in (a, a + b, a + b + c)]
    for i in range(len(source)):
        u = v = word = 0
        while u == v or u >= n or v >= n:
            quarters = []
            while len(quarters) < scale:
                bits = draw(draw(key, first + i), word)
                quarters += [bits >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
                word += 1
            entered = [sum(q >= end for end in ends) for q in quarters[:scale]]
            u = int("".join(str(q // 2) for q in entered), 2)
            v = int("".join(str(q % 2) for q in entered), 2)
        source[i], target[i] = permute(id_key, n, u), permute(id_key, n, v)


def fill_normal(key, first, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            bits = draw(draw(key, first + i), j - j % 2)
            radius = np.sqrt(-2 * np.log(((bits >> 32) + 1) / 2**32))
            angle = 2 * np.pi * (bits & MASK32) / 2**32
            out[i, j] = radius * (np.sin(angle) if j % 2 else np.cos(angle))


def class_features(key, first, label, centre, noise, out):
    fill_normal(key, first, out)
    out[:] = centre[label] + noise * out


def pair_hash(key, u, v, weight_bits):
    return draw(draw(draw(key, min(u, v)), max(u, v)), weight_bits)


def add_pair_sums(key, source, target, weight_bits, sums):
    for e, (u, v) in enumerate(zip(source, target, strict=True)):
        h = pair_hash(key, u, v, weight_bits[e] if len(weight_bits) else 0)
        row, bucket = int(u > v), h % sums.shape[1]
        if u != v:
            sums[row, bucket] = (int(sums[row, bucket]) + h) & MASK64


def pair_buckets(key, source, target, weight_bits, num_buckets, out):
    for e, (u, v) in enumerate(zip(source, target, strict=True)):
        h = pair_hash(key, u, v, weight_bits[e] if len(weight_bits) else 0)
        out[e] = -1 if u == v else h % num_buckets
