"""Kernels of the model of events: clocks, recent neighbours, gates, meetings, as the reference."""

import numpy as np
import pytest
from checks import assert_like_reference, poison
from numba import njit

from batchgnn.kernels.clock import encode_spans, encode_spans_exactly
from batchgnn.kernels.embed import embed_pairs
from batchgnn.kernels.gru import gru_gates, gru_gates_adjoint
from batchgnn.kernels.lanes import dot, weighted_sum
from batchgnn.kernels.meetings import (
    ROOTS_PER_CHUNK,
    Meetings,
    attend,
    attend_adjoint,
    meeting_clock_adjoint,
    meeting_states_adjoint,
    sum_by_row,
)
from batchgnn.kernels.recent import (
    entries_by_row,
    last_updates,
    place_states,
    recent_neighbors,
)
from batchgnn.kernels.relu_rows import add_rows_relu, relu_adjoint

RNG = np.random.default_rng(0)


def test_clocks_are_right_to_float32_at_any_span():
    span = np.concatenate([[0, 1e9, 2.7e6, 0.5], 10 ** RNG.uniform(-3, 9, 200)])
    frequency = (10.0 ** -np.linspace(0, 9, 20)).astype(np.float32)
    phase = RNG.normal(size=20).astype(np.float32)
    place = np.where(np.arange(204) % 7, 1, -1).astype(np.int32)
    out = poison((204, 20)), poison((204, 20))
    args = span, place, frequency, phase
    assert_like_reference(encode_spans, *args, *out, rtol=0, atol=4e-7)
    assert_like_reference(encode_spans, *args, out[0], out[1][:0], rtol=0, atol=4e-7)
    wide = frequency.astype(float), phase.astype(float)
    exact = [poison((204, 20), np.float64) for _ in "cs"]
    assert_like_reference(encode_spans_exactly, span, place, *wide, *exact, rtol=0, atol=1e-12)


def entries(num_vertices=6, num_events=30):
    """indptr, other, event of a small stream; the last vertex has none."""
    pairs = RNG.integers(0, num_vertices - 1, (num_events, 2))
    rows = [
        [(e, int(a + b - v)) for e, (a, b) in enumerate(pairs) if v in (a, b)]
        for v in range(num_vertices)
    ]
    flat = np.array([each for row in rows for each in row])
    return np.cumsum([0, *map(len, rows)]), flat[:, 1], flat[:, 0], pairs


def test_recent_neighbors_are_strictly_earlier_and_newest_first():
    indptr, other, event, _ = entries()
    vertex, before = np.repeat(np.arange(6), 4), np.tile([0, 7, 20, 30], 6)
    out = [poison((24, 3), np.int64) for _ in "oe"]
    assert_like_reference(recent_neighbors, indptr, other, event, vertex, before, *out)


def test_places_entries_and_updates():
    mail = np.array([3, -1, 5, 9, -1, 2])
    other = RNG.integers(-1, 6, (5, 3))
    rows = poison(5, np.int32), poison((5, 3), np.int32)
    slot, member = np.full(6, -1, np.int32), np.full(21, 77)
    vertex = np.array([2, 1, 0, 2, 4])
    assert_like_reference(place_states, vertex, other, mail, slot, *rows, member)
    row = RNG.integers(-1, 4, 30).astype(np.int32)
    assert_like_reference(entries_by_row, row, 4, poison(5, np.int64), np.full(30, 77))
    *_, pairs = entries()
    mail, before = np.full(6, -1), np.full(6, -1)
    ends = pairs[:8, 0].copy(), pairs[:8, 1].copy()
    out = [np.full(16, 77) for _ in "voo"]
    assert_like_reference(last_updates, *ends, 100, mail, before, *out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates(dtype):
    gates, hidden, state, dout = (RNG.normal(size=(9, w)).astype(dtype) for w in (12, 4, 6, 4))
    gates[0] *= 40
    bias, hidden_bias = (RNG.normal(size=width).astype(dtype) for width in (12, 4))
    biases = bias, hidden_bias
    assert_like_reference(
        gru_gates, gates, hidden, *biases, state, poison((9, 4), dtype), atol=1e-6
    )
    gru_gates(gates, hidden, *biases, state, np.empty((9, 4), dtype))
    out = poison((9, 12), dtype), poison((9, 4), dtype)
    assert_like_reference(gru_gates_adjoint, dout, gates, hidden, state, *out)


@pytest.mark.parametrize("num_features", [0, 3])
def test_meetings(num_features):
    dtype, num_roots, slots, heads, d, t = np.float32, ROOTS_PER_CHUNK + 3, 4, 2, 5, 6
    width = d + num_features + t

    def normal(*shape):
        return RNG.normal(size=shape).astype(dtype)

    met = Meetings(
        root_row=RNG.integers(0, 3, num_roots).astype(np.int32),
        neighbor_row=RNG.integers(-1, 8, (num_roots, slots)).astype(np.int32),
        event=RNG.integers(0, 20, (num_roots, slots)),
        state=normal(8, d),
        features=normal(20, num_features),
        clock=normal(num_roots * slots, t),
    )
    met.neighbor_row[1] = -1  # met nobody
    query, offset = normal(3, heads, width), normal(3, heads)
    of_slot, of_root = (num_roots, heads, slots), (num_roots, heads, width)
    score, weight, out = poison(of_slot), poison(of_slot), poison(of_root)
    assert_like_reference(attend, met, query, offset, score, weight, out)
    attend(met, query, offset, score, weight, out)
    assert not out[1].any()
    dout, dscore, dquery = normal(*of_root), poison(of_slot), poison(of_root)
    outs = dscore, dquery, poison((num_roots, heads))
    assert_like_reference(attend_adjoint, met, dout, score, weight, *outs, atol=1e-5)
    attend_adjoint(met, dout, score, weight, *outs)
    flat = met.neighbor_row.reshape(-1)
    places = np.empty(9, np.int64), np.empty(len(flat), np.int64)
    entries_by_row(flat, 8, *places)
    args = met, query, dout, weight, dscore
    dstate = poison((8, d))
    assert_like_reference(meeting_states_adjoint, *args, *places, dstate, rtol=1e-4, atol=1e-4)
    span, sine = RNG.random(len(flat)), normal(len(flat), t)
    partial = poison((2, 2, t))
    assert_like_reference(meeting_clock_adjoint, *args, span, sine, partial, rtol=1e-4, atol=1e-4)
    x = normal(len(flat), 3)
    assert_like_reference(sum_by_row, *places, x, poison((8, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 7, 16, 65, 130])
def test_lanes(dtype, width):
    """Of any width, as whole vectors and what is left; places that are negative are left out."""

    @njit
    def both(a, b, weight, place, x, out, onto):
        weighted_sum(weight, place, x, out[: len(a)], onto)
        return dot(a, b)

    a, b = (RNG.normal(size=width).astype(dtype) for _ in "ab")
    x, weight = RNG.normal(size=(5, width + 3)).astype(dtype), RNG.normal(size=6).astype(dtype)
    for place in (np.array([4, -1, 0, 4, -1, 2]), np.array([3, 1, -1, 0, 2, 2], np.int32)):
        for onto in (False, True):
            out = np.full(width + 1, 0.5, dtype)
            some = place >= 0
            expected = weight[some] @ x[place[some], :width] + (0.5 if onto else 0)
            found = both(a, b, weight, place, x, out, onto)
            np.testing.assert_allclose(out[:-1], expected, rtol=1e-5, atol=1e-5)
            assert out[-1] == 0.5
            assert found == pytest.approx(a @ b, rel=1e-4, abs=1e-5)


def test_relu_rows():
    y, own, bias = (RNG.normal(size=s).astype(np.float32) for s in ((9, 5), (3, 5), (5,)))
    row, positive = RNG.integers(0, 3, 9).astype(np.int32), RNG.random((9, 5)) < 0.5
    assert_like_reference(add_rows_relu, y, own, row, bias, positive.copy())
    assert_like_reference(relu_adjoint, y, positive)


def test_embeddings_of_pairs_also_of_a_vertex_with_itself():
    pairs = RNG.integers(0, 5, (3, 40))
    assert (pairs[0] == pairs[1]).any()
    rows = RNG.normal(size=(5, 7)).astype(np.float32)
    assert_like_reference(embed_pairs, *pairs, 0.1, rows, rtol=1e-4)
