"""Attention over meetings, meeting by meeting, and its adjoint by dense Jacobians."""

import numpy as np

SLOPE = 0.2


def dot(a, b):
    return a @ b


def rows_of(meetings, r):
    """Rows x of a root's meetings, and their slots."""
    m = meetings
    slots = [k for k in range(m.neighbor_row.shape[1]) if m.neighbor_row[r, k] >= 0]
    num_slots = m.neighbor_row.shape[1]
    rows = [
        np.concatenate(
            [
                m.state[m.neighbor_row[r, k]],
                m.features[m.event[r, k]] if m.features.shape[1] else [],
                m.clock[r * num_slots + k],
            ]
        )
        for k in slots
    ]
    return np.array(rows, np.float64), slots


def attend(meetings, query, offset, score, weight, out):
    score[:], weight[:], out[:] = 0, 0, 0
    for r, row in enumerate(meetings.root_row):
        x, slots = rows_of(meetings, r)
        for h in range(query.shape[1] if slots else 0):
            s = x @ query[row, h] + offset[row, h]
            a = np.exp(np.where(s > 0, s, SLOPE * s))
            score[r, h, slots], weight[r, h, slots] = s, a / a.sum()
            out[r, h] = a / a.sum() @ x


def attend_adjoint(meetings, dout, score, weight, dscore, dquery, doffset):
    dscore[:], dquery[:], doffset[:] = 0, 0, 0
    for r in range(len(meetings.root_row)):
        x, slots = rows_of(meetings, r)
        for h in range(dout.shape[1] if slots else 0):
            a = weight[r, h, slots].astype(np.float64)
            ds = (np.diag(a) - np.outer(a, a)) @ (x @ dout[r, h])
            ds *= np.where(score[r, h, slots] > 0, 1, SLOPE)
            dscore[r, h, slots], dquery[r, h], doffset[r, h] = ds, ds @ x, ds.sum()


def of_meeting(meetings, query, dout, weight, dscore, r, k):
    """Gradient of a meeting's x."""
    row = meetings.root_row[r]
    return dscore[r, :, k] @ query[row] + weight[r, :, k] @ dout[r]


def slots_of(meetings):
    return zip(*np.nonzero(meetings.neighbor_row >= 0), strict=True)


def meeting_states_adjoint(meetings, query, dout, weight, dscore, indptr, entry, dstate):
    dstate[:] = 0
    for r, k in slots_of(meetings):
        dx = of_meeting(meetings, query, dout, weight, dscore, r, k)
        dstate[meetings.neighbor_row[r, k]] += dx[: dstate.shape[1]]


def meeting_clock_adjoint(meetings, query, dout, weight, dscore, span, sine, partial):
    partial[:] = 0
    for r, k in slots_of(meetings):
        dx = of_meeting(meetings, query, dout, weight, dscore, r, k)
        i = r * meetings.neighbor_row.shape[1] + k
        slope = -dx[-sine.shape[1] :] * sine[i]
        partial[r // 64] += slope * span[i], slope


def sum_by_row(indptr, entry, x, out):
    for v in range(len(out)):
        out[v] = x[entry[indptr[v] : indptr[v + 1]]].sum(axis=0)
