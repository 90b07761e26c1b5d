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
from batchgnn.kernels.lanes import dot, weighted_sum

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


@register_jitable
def num_chunks(num_roots):
    """Of ROOTS_PER_CHUNK."""
    return (num_roots + ROOTS_PER_CHUNK - 1) // ROOTS_PER_CHUNK


@register_jitable
def most_entries(indptr):
    """Of a row."""
    most = 0
    for v in range(len(indptr) - 1):
        most = max(most, indptr[v + 1] - indptr[v])
    return most


@register_jitable
def own_rows(slots, first, own):
    """own[k] = first + k where a slot holds a meeting, -1 elsewhere."""
    for k in range(len(own)):
        own[k] = first + k if slots[k] >= 0 else -1


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
    zero, slope = state.dtype.type(0), state.dtype.type(SLOPE)
    for chunk in prange(num_chunks(len(root_row))):
        own = np.empty(num_slots, np.int64)
        for r in range(chunk * ROOTS_PER_CHUNK, min((chunk + 1) * ROOTS_PER_CHUNK, len(root_row))):
            row, slots = root_row[r], neighbor_row[r]
            own_rows(slots, r * num_slots, own)
            for h in range(query.shape[1]):
                p, y, s, a = query[row, h], out[r, h], score[r, h], weight[r, h]
                top = state.dtype.type(-np.inf)
                for k in range(num_slots):
                    s[k] = a[k] = zero
                    if slots[k] >= 0:
                        found = offset[row, h] + dot(p[:d], state[slots[k]])
                        if e > 0:
                            found += dot(p[d : d + e], features[event[r, k]])
                        found += dot(p[d + e :], clock[own[k]])
                        s[k] = found
                        top = max(top, found if found > zero else slope * found)
                total = zero
                for k in range(num_slots):
                    if slots[k] >= 0:
                        a[k] = np.exp((s[k] if s[k] > zero else slope * s[k]) - top)
                        total += a[k]
                for k in range(num_slots):
                    if slots[k] >= 0:
                        a[k] /= total
                weighted_sum(a, slots, state, y[:d], False)
                if e > 0:
                    weighted_sum(a, event[r], features, y[d : d + e], False)
                weighted_sum(a, own, clock, y[d + e :], False)


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
    for chunk in prange(num_chunks(len(root_row))):
        own = np.empty(num_slots, np.int64)
        for r in range(chunk * ROOTS_PER_CHUNK, min((chunk + 1) * ROOTS_PER_CHUNK, len(root_row))):
            slots = neighbor_row[r]
            own_rows(slots, r * num_slots, own)
            for h in range(dout.shape[1]):
                g, dp, ds = dout[r, h], dquery[r, h], dscore[r, h]
                mean = zero
                for k in range(num_slots):
                    ds[k] = zero
                    if slots[k] >= 0:
                        da = dot(g[:d], state[slots[k]]) + dot(g[d + e :], clock[own[k]])
                        if e > 0:
                            da += dot(g[d : d + e], features[event[r, k]])
                        ds[k] = da
                        mean += weight[r, h, k] * da
                total = zero
                for k in range(num_slots):
                    if slots[k] >= 0:
                        ds[k] = weight[r, h, k] * (ds[k] - mean)
                        ds[k] *= one if score[r, h, k] > zero else slope
                        total += ds[k]
                doffset[r, h] = total
                weighted_sum(ds, slots, state, dp[:d], False)
                if e > 0:
                    weighted_sum(ds, event[r], features, dp[d : d + e], False)
                weighted_sum(ds, own, clock, dp[d + e :], False)


@parallel_kernel(fastmath={"contract"})
def meeting_states_adjoint(meetings, query, dout, weight, dscore, indptr, entry, dstate):
    """dstate[w] = what all meetings with w have of its gradient, pulled in a fixed order.

    indptr  int64 (n + 1,), entry int64: `entries_by_row` of neighbor_row, flat
    dstate  float (n, d)  overwritten
    """
    root_row, neighbor_row = meetings.root_row, meetings.neighbor_row
    num_slots, heads = neighbor_row.shape[1], query.shape[1]
    of_query = query.reshape(-1, query.shape[2])
    of_out = dout.reshape(-1, dout.shape[2])
    most = most_entries(indptr) * heads
    for chunk in prange(num_chunks(len(dstate))):
        asked, seen = np.empty(most, np.int64), np.empty(most, np.int64)
        ds, a = np.empty(most, query.dtype), np.empty(most, query.dtype)
        for w in range(chunk * ROOTS_PER_CHUNK, min((chunk + 1) * ROOTS_PER_CHUNK, len(dstate))):
            count = 0
            for i in range(indptr[w], indptr[w + 1]):
                r, k = entry[i] // num_slots, entry[i] % num_slots
                for h in range(heads):
                    asked[count], seen[count] = root_row[r] * heads + h, r * heads + h
                    ds[count], a[count] = dscore[r, h, k], weight[r, h, k]
                    count += 1
            weighted_sum(ds[:count], asked[:count], of_query, dstate[w], False)
            weighted_sum(a[:count], seen[:count], of_out, dstate[w], True)


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
    ones = np.ones(most_entries(indptr), x.dtype)
    for v in prange(out.shape[0]):
        places = entry[indptr[v] : indptr[v + 1]]
        weighted_sum(ones[: len(places)], places, x, out[v], False)
