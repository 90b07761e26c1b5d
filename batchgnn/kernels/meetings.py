"""Attention of roots over their recent meetings, aggregated before it is projected.

A meeting's row is x = [state of whom it was with | features of the event | encoded time since]. A
root has one query p in the space of x a head, so nothing is multiplied by a weight a meeting: with
keys k = W_k^T x + b_k and query q, the score q . k is p . x + c, where p = W_k q and c = q . b_k;
the projected sum of values is W_v^T of the sum of x. Softmax over LeakyReLU(score), slope 0.2.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel

SLOPE = 0.2
ROOTS_PER_CHUNK = 64
FAST = {"contract", "reassoc", "nsz"}


class Meetings(NamedTuple):
    """The rows x of all meetings, in parts, and whose they are.

    root_row      int32 (R,)      each root's row among queries
    neighbor_row  int32 (R, K)    row among states, -1 = none
    event         int64 (R, K)    row among features
    state         float (n, d)
    features      float (E, d_e)  d_e may be 0
    clock         float (R K, d_t)  encoded times
    """

    root_row: np.ndarray
    neighbor_row: np.ndarray
    event: np.ndarray
    state: np.ndarray
    features: np.ndarray
    clock: np.ndarray


@register_jitable(fastmath=FAST)
def dot(a, b):
    """Inner product."""
    total = a.dtype.type(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@register_jitable
def add_scaled(y, factor, x):
    """y += factor x."""
    for j in range(len(y)):
        y[j] += factor * x[j]


@register_jitable
def add_two_scaled(y, a, x, b, z):
    """y += a x + b z."""
    for j in range(len(y)):
        y[j] += a * x[j] + b * z[j]


@parallel_kernel(fastmath=FAST)
def attend(meetings, query, offset, score, weight, out):
    """out[r, h] = sum of weight x over the meetings of root r; weights are a softmax, 0 of none.

    query          float (rows, H, D)  p, of the distinct vertices of roots
    offset         float (rows, H)     c
    score, weight  float (R, H, K)     overwritten where there is a meeting, 0 elsewhere
    out            float (R, H, D)     overwritten
    """
    root_row, neighbor_row, event, state, features, clock = meetings
    d, e = state.shape[1], features.shape[1]
    num_slots = neighbor_row.shape[1]
    zero = state.dtype.type(0)
    slope = state.dtype.type(SLOPE)
    for r in prange(len(root_row)):
        row = root_row[r]
        for h in range(query.shape[1]):
            p, y = query[row, h], out[r, h]
            y[:] = zero
            top = -np.inf
            for k in range(num_slots):
                score[r, h, k] = zero
                weight[r, h, k] = zero
                w = neighbor_row[r, k]
                if w >= 0:
                    s = offset[row, h] + dot(p[:d], state[w])
                    if e > 0:
                        s += dot(p[d : d + e], features[event[r, k]])
                    s += dot(p[d + e :], clock[r * num_slots + k])
                    score[r, h, k] = s
                    top = max(top, s if s > zero else slope * s)
            total = zero
            for k in range(num_slots):
                if neighbor_row[r, k] >= 0:
                    s = score[r, h, k]
                    a = np.exp((s if s > zero else slope * s) - state.dtype.type(top))
                    weight[r, h, k] = a
                    total += a
            for k in range(num_slots):
                w = neighbor_row[r, k]
                if w >= 0:
                    a = weight[r, h, k] / total
                    weight[r, h, k] = a
                    add_scaled(y[:d], a, state[w])
                    if e > 0:
                        add_scaled(y[d : d + e], a, features[event[r, k]])
                    add_scaled(y[d + e :], a, clock[r * num_slots + k])


@parallel_kernel(fastmath=FAST)
def attend_adjoint(meetings, dout, score, weight, dscore, dquery, doffset):
    """Gradients by scores, and by each root's query and offset.

    dout     float (R, H, D)  by `attend`'s out
    score, weight             as `attend` left them
    dscore   float (R, H, K)  overwritten: by p . x + c
    dquery   float (R, H, D)  overwritten: each root's share of its query's gradient
    doffset  float (R, H)     overwritten: likewise
    """
    root_row, neighbor_row, event, state, features, clock = meetings
    d, e = state.shape[1], features.shape[1]
    num_slots = neighbor_row.shape[1]
    zero, one, slope = state.dtype.type(0), state.dtype.type(1), state.dtype.type(SLOPE)
    for r in prange(len(root_row)):
        for h in range(dout.shape[1]):
            g, dp = dout[r, h], dquery[r, h]
            dp[:] = zero
            mean = zero
            for k in range(num_slots):
                dscore[r, h, k] = zero
                w = neighbor_row[r, k]
                if w >= 0:
                    da = dot(g[:d], state[w]) + dot(g[d + e :], clock[r * num_slots + k])
                    if e > 0:
                        da += dot(g[d : d + e], features[event[r, k]])
                    dscore[r, h, k] = da
                    mean += weight[r, h, k] * da
            total = zero
            for k in range(num_slots):
                w = neighbor_row[r, k]
                if w >= 0:
                    ds = weight[r, h, k] * (dscore[r, h, k] - mean)
                    ds *= one if score[r, h, k] > zero else slope
                    dscore[r, h, k] = ds
                    total += ds
                    add_scaled(dp[:d], ds, state[w])
                    if e > 0:
                        add_scaled(dp[d : d + e], ds, features[event[r, k]])
                    add_scaled(dp[d + e :], ds, clock[r * num_slots + k])
            doffset[r, h] = total


@parallel_kernel(fastmath={"contract"})
def meeting_states_adjoint(meetings, query, dout, weight, dscore, indptr, entry, dstate):
    """dstate[w] = what all meetings with w have of its gradient, pulled in a fixed order.

    indptr  int64 (n + 1,), entry int64: `entries_by_row` of neighbor_row, flat
    dstate  float (n, d)  overwritten
    """
    root_row, neighbor_row, _, state, _, _ = meetings
    num_slots, d = neighbor_row.shape[1], state.shape[1]
    for w in prange(dstate.shape[0]):
        row = dstate[w]
        row[:] = state.dtype.type(0)
        for i in range(indptr[w], indptr[w + 1]):
            r, k = entry[i] // num_slots, entry[i] % num_slots
            for h in range(query.shape[1]):
                q, g = query[root_row[r], h, :d], dout[r, h, :d]
                add_two_scaled(row, dscore[r, h, k], q, weight[r, h, k], g)


@parallel_kernel
def meeting_clock_adjoint(meetings, query, dout, weight, dscore, span, sine, partial):
    """Gradients of the clock's frequencies and phases, of fixed chunks of roots.

    span     float64 (R K,); sine float (R K, d_t): as `encode_spans` left it
    partial  float (ceil(R / ROOTS_PER_CHUNK), 2, d_t)  overwritten: of frequency, of phase
    """
    root_row, neighbor_row, _, state, features, _ = meetings
    num_slots, first = neighbor_row.shape[1], state.shape[1] + features.shape[1]
    width = sine.shape[1]
    for chunk in prange(partial.shape[0]):
        partial[chunk] = state.dtype.type(0)
        end = min((chunk + 1) * ROOTS_PER_CHUNK, len(root_row))
        for r in range(chunk * ROOTS_PER_CHUNK, end):
            for k in range(num_slots):
                if neighbor_row[r, k] < 0:
                    continue
                i = r * num_slots + k
                length = state.dtype.type(span[i])
                for h in range(query.shape[1]):
                    ds, a = dscore[r, h, k], weight[r, h, k]
                    p, g = query[root_row[r], h], dout[r, h]
                    for j in range(width):
                        slope = -(ds * p[first + j] + a * g[first + j]) * sine[i, j]
                        partial[chunk, 0, j] += slope * length
                        partial[chunk, 1, j] += slope


@parallel_kernel
def sum_by_row(indptr, entry, x, out):
    """out[v] = sum of x[entry[i]] over its entries, in their order.

    indptr  int64 (n + 1,), entry int64: as `entries_by_row` made them
    x       float (m, d)
    out     float (n, d)  overwritten
    """
    for v in prange(out.shape[0]):
        row = out[v]
        row[:] = x.dtype.type(0)
        for i in range(indptr[v], indptr[v + 1]):
            add_scaled(row, x.dtype.type(1), x[entry[i]])
