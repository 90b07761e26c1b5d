"""A temporal graph network: states of vertices moved by a GRU, attention over recent events.

TGN (arXiv:2006.10637) as TGL and DistTGL compute it (arXiv:2307.07649): a vertex's state is its
memory and its last mail, put through a GRU when it is read, so that the GRU is trained; one layer
of attention over the most recent events; then ReLU and layer norm. Gradients stop at what is read:
memories, mails, times.

Deviations: attention aggregates before it projects, which is the same sum (`kernels.meetings`);
the spans of mails do not depend on the root, so a vertex has one state in a batch; no dropout.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.kernels.clock import encode_spans, encode_spans_exactly
from batchgnn.kernels.gru import gru_gates, gru_gates_adjoint
from batchgnn.kernels.meetings import (
    ROOTS_PER_CHUNK,
    Meetings,
    attend,
    attend_adjoint,
    meeting_clock_adjoint,
    meeting_states_adjoint,
    sum_by_row,
)
from batchgnn.kernels.recent import entries_by_row
from batchgnn.kernels.relu_rows import add_rows_relu, relu_adjoint
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.init import Declared, kaiming, zeros
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.norm import LayerNorm
from batchgnn.nn.operator import Aggregation
from batchgnn.nn.parameters import Parameters
from batchgnn.nn.products import column_sums, multiply, multiply_columns

DECADES = 9
"Frequencies fall from 1 to 10^-9 per unit of time."


class Mails(NamedTuple):
    """What the states of some vertices are made from; row 0 is of all that never had a mail.

    memories  float (n, 2 d)  the vertex's own memory, and that of whom it met last
    features  float (n, d_e)  of that event
    span      float64 (n,)    time from its event before to that event
    """

    memories: np.ndarray
    features: np.ndarray
    span: np.ndarray


class Batch(NamedTuple):
    """Roots and their recent events; as `kernels.meetings.Meetings`.

    num_queries  states of roots: the first ones
    span         float64 (R, K)  time from each event to the root's time
    static       float (n, d)    what is added to the states, a constant; None = nothing
    below        whose rows are the states here; None: they are vertices' states
    """

    root_row: np.ndarray
    neighbor_row: np.ndarray
    event: np.ndarray
    span: np.ndarray
    features: np.ndarray
    num_queries: int
    static: np.ndarray | None = None
    below: "Batch | None" = None

    def hops(self) -> "list[Batch]":
        """From the lowest one up to this."""
        return [*(self.below.hops() if self.below else []), self]

    @property
    def state_row(self) -> np.ndarray:
        """int32 (R,): the row of each root among vertices' states."""
        return self.root_row if self.below is None else self.below.state_row[self.root_row]


class TemporalModel:
    """The model; `nn.model.Model`, whose one operator is a `Batch`, and whose input are `Mails`."""

    num_layers = 1
    aggregation: Aggregation = "attention"

    def __init__(
        self,
        spec: ModelSpec,
        num_features: int,
        num_outputs: int = 0,
        *,
        extra: Mapping[str, Declared] = {},
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ):
        """num_features: of an event; num_outputs is the width of a state, whatever is asked for."""
        self.spec = spec
        self.width, self.heads, self.clock = spec.state_width, spec.state_heads, spec.time_width
        self.num_features = num_features
        self.widths = [num_features, self.width]
        declared = self._declare() | dict(extra)
        self.parameters = Parameters(declared, seed, dtype)
        self.no_bias = np.zeros(self.width, dtype)
        self.clocks = {scope: self._fixed_clock(scope) for scope in ("memory", "attention")}
        self.norm = LayerNorm(self.parameters.scope("norm."))

    def _declare(self) -> dict[str, Declared]:
        d, t, e = self.width, self.clock, self.num_features
        seen, mail = d + e + t, 2 * d + e + t
        gate = 1 / np.sqrt(d)
        clocks = ("memory.frequency", "memory.phase", "attention.frequency", "attention.phase")
        times = {name: Declared((t,)) for name in clocks if self.learns_time}
        norm = {f"norm.{name}": each for name, each in LayerNorm.declare(d).items()}
        return {
            "memory.W_input": Declared((mail, 3 * d), gate),
            "memory.W_state": Declared((d, 3 * d), gate),
            "memory.b_input": Declared((3 * d,), gate),
            "memory.b_state": Declared((3 * d,), gate),
            "attention.W_query": kaiming(d + t, d),
            "attention.b_query": zeros(d),
            "attention.W_key": kaiming(seen, d),
            "attention.b_key": zeros(d),
            "attention.W_value": kaiming(seen, d),
            "attention.b_value": zeros(d),
            "attention.W_out": kaiming(2 * d, d),
            "attention.b_out": zeros(d),
            **norm,
            **times,
        }

    def _fixed_clock(self, scope: str) -> tuple[np.ndarray, np.ndarray]:
        """(frequencies, phases) as they begin: constants, or the parameters of that name."""
        frequency = (10.0 ** -np.linspace(0, DECADES, self.clock)).astype(self.no_bias.dtype)
        if not self.learns_time:
            return frequency, np.zeros_like(frequency)
        p = self.parameters
        p[f"{scope}.frequency"][:] = frequency
        return p[f"{scope}.frequency"], p[f"{scope}.phase"]

    @property
    def learns_time(self) -> bool:
        """Whether frequencies and phases are trained."""
        return self.spec.time_encoder == "learned"

    def remember(self, mails: Mails) -> tuple[np.ndarray, Any]:
        """States (n, d) of vertices by their mails, and what `remember_backward` needs."""
        p, d, n = self.parameters, self.width, len(mails.span)
        place = np.zeros(n, np.int32)
        clock, sine = self._clock("memory", mails.span, place, self.learns_time)
        parts = mails.memories, mails.features, clock
        own, *others = np.split(p["memory.W_input"], self._parts_of_mails())
        own = own.copy()
        own[:d, : 2 * d] += p["memory.W_state"][:, : 2 * d]
        bias = p["memory.b_input"].copy()
        bias[: 2 * d] += p["memory.b_state"][: 2 * d]
        gates = multiply(mails.memories, own)
        for x, weight in zip(parts[1:], others, strict=True):
            if x.shape[1]:
                multiply(x, weight, gates, onto=True)
        hidden = multiply(mails.memories[:, :d], p["memory.W_state"][:, 2 * d :])
        states = buffers.empty((n, d), gates.dtype)
        gru_gates(gates, hidden, bias, p["memory.b_state"][2 * d :], mails.memories, states)
        return states, (parts, gates, hidden, mails.span, sine)

    def _parts_of_mails(self) -> list[int]:
        """Where features and encoded times begin in what the GRU is given."""
        return [2 * self.width, 2 * self.width + self.num_features]

    def remember_backward(self, dstates: np.ndarray, saved: Any) -> None:
        """Overwrite the gradients of what moves memories."""
        parts, gates, hidden, span, sine = saved
        p, grads, d, memories = self.parameters, self.parameters.grads, self.width, parts[0]
        dgates, dhidden = (buffers.empty(each.shape, each.dtype) for each in (gates, hidden))
        gru_gates_adjoint(dstates, gates, hidden, memories, dgates, dhidden)
        of_parts = np.split(grads["memory.W_input"], self._parts_of_mails())
        for x, gradient in zip(parts, of_parts, strict=True):
            multiply_columns(x, dgates, gradient)
        grads["memory.W_state"][:, : 2 * d] = grads["memory.W_input"][:d, : 2 * d]
        multiply_columns(memories[:, :d], dhidden, grads["memory.W_state"][:, 2 * d :])
        column_sums(dgates, grads["memory.b_input"])
        grads["memory.b_state"][: 2 * d] = grads["memory.b_input"][: 2 * d]
        column_sums(dhidden, grads["memory.b_state"][2 * d :])
        if self.learns_time:
            slope = multiply(dgates, p["memory.W_input"][self._parts_of_mails()[1] :].T)
            slope *= -sine
            grads["memory.frequency"][:] = span.astype(slope.dtype) @ slope
            slope.sum(axis=0, out=grads["memory.phase"])

    def attend(self, batch: Batch, states: np.ndarray, *, training: bool) -> tuple[np.ndarray, Any]:
        """Rows (R, d) of the batch's roots, and what `attend_backward` needs."""
        p, d, heads = self.parameters, self.width, self.heads
        if batch.static is not None:
            states = states + batch.static
        num_roots, num_slots = batch.neighbor_row.shape
        span, place = batch.span.reshape(-1), batch.neighbor_row.reshape(-1)
        clock, sine = self._clock("attention", span, place, training and self.learns_time)
        met = Meetings(
            batch.root_row, batch.neighbor_row, batch.event, states, batch.features, clock
        )
        roots = states[: batch.num_queries]
        now = np.cos(self.clocks["attention"][1])
        asked = multiply(roots, p["attention.W_query"][:d])
        asked += now @ p["attention.W_query"][d:] + p["attention.b_query"]
        query, offset = self._queries(asked)
        shape = (num_roots, heads, num_slots)
        score, weight = (buffers.empty(shape, states.dtype) for _ in "sw")
        seen = buffers.empty((num_roots, heads, query.shape[2]), states.dtype)
        attend(met, query, offset, score, weight, seen)
        has_met = (batch.neighbor_row[:, 0] >= 0).astype(states.dtype)
        values = self._values(seen, has_met)
        y = multiply(values, p["attention.W_out"][:d])
        own, positive = multiply(roots, p["attention.W_out"][d:]), np.empty(y.shape, np.bool_)
        add_rows_relu(y, own, batch.root_row, p["attention.b_out"], positive)
        rows, normed = self.norm.forward(y, self.no_bias)
        if not training:
            return rows, None
        saved = (met, span, sine, asked, query, score, weight, seen, has_met, values, now)
        return rows, (*saved, positive, normed, batch.num_queries)

    def _head(self, h: int) -> slice:
        """Columns of a head."""
        size = self.width // self.heads
        return slice(h * size, (h + 1) * size)

    def _queries(self, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p (rows, H, D), c (rows, H)) of queries (rows, d): what a meeting's row is scored by."""
        p = self.parameters
        key, bias = p["attention.W_key"], p["attention.b_key"]
        query = buffers.empty((len(asked), self.heads, len(key)), asked.dtype)
        offset = buffers.empty((len(asked), self.heads), asked.dtype)
        for h in range(self.heads):
            head = self._head(h)
            multiply(asked[:, head], key[:, head].T, query[:, h])
            offset[:, h] = asked[:, head] @ bias[head]
        return query, offset

    def _values(self, seen: np.ndarray, has_met: np.ndarray) -> np.ndarray:
        """(R, d): what was seen (R, H, D), projected; of roots that met nobody 0."""
        p = self.parameters
        values = buffers.empty((len(seen), self.width), seen.dtype)
        np.multiply(has_met[:, None], p["attention.b_value"], out=values)
        for h in range(self.heads):
            head = self._head(h)
            multiply(seen[:, h], p["attention.W_value"][:, head], values[:, head], onto=True)
        return values

    def attend_backward(self, drows: np.ndarray, saved: Any) -> np.ndarray:
        """Overwrite the gradients of attention; returns that of the states (n, d)."""
        met, span, sine, asked, query, score, weight, seen, has_met, values, now = saved[:11]
        positive, normed, num_queries = saved[11:]
        p, grads, d = self.parameters, self.parameters.grads, self.width
        unused = np.empty_like(self.no_bias)
        dy = self.norm.backward(drows, normed, self.parameters.scope_grads("norm."), unused)
        relu_adjoint(dy, positive)
        roots = met.state[:num_queries]
        rows = _places(met.root_row, num_queries)
        dy_of_root = _summed(rows, dy)
        multiply_columns(values, dy, grads["attention.W_out"][:d])
        multiply_columns(roots, dy_of_root, grads["attention.W_out"][d:])
        column_sums(dy, grads["attention.b_out"])
        dvalues = multiply(dy, p["attention.W_out"][:d].T)
        np.matmul(has_met, dvalues, out=grads["attention.b_value"])
        dseen = buffers.empty(seen.shape, seen.dtype)
        for h in range(self.heads):
            head = self._head(h)
            multiply_columns(seen[:, h], dvalues[:, head], grads["attention.W_value"][:, head])
            multiply(dvalues[:, head], p["attention.W_value"][:, head].T, dseen[:, h])
        dscore, dquery = np.empty_like(score), buffers.empty(seen.shape, seen.dtype)
        doffset = np.empty(score.shape[:2], score.dtype)
        attend_adjoint(met, dseen, score, weight, dscore, dquery, doffset)
        dquery = _summed(rows, dquery.reshape(len(dquery), -1)).reshape(query.shape)
        dasked = self._queries_backward(asked, dquery, _summed(rows, doffset))
        multiply_columns(roots, dasked, grads["attention.W_query"][:d])
        total = dasked.sum(axis=0)
        grads["attention.W_query"][d:] = np.outer(now, total)
        grads["attention.b_query"][:] = total
        dstates = np.empty_like(met.state)
        places = _places(met.neighbor_row.reshape(-1), len(dstates))
        meeting_states_adjoint(met, query, dseen, weight, dscore, *places, dstates)
        multiply(dasked, p["attention.W_query"][:d].T, dstates[:num_queries], onto=True)
        multiply(dy_of_root, p["attention.W_out"][d:].T, dstates[:num_queries], onto=True)
        if self.learns_time:
            self._clock_backward(met, query, dseen, weight, dscore, span, sine, total)
        return dstates

    def _queries_backward(
        self, asked: np.ndarray, dquery: np.ndarray, doffset: np.ndarray
    ) -> np.ndarray:
        """Gradient by `asked`; overwrites those of keys."""
        p, grads = self.parameters, self.parameters.grads
        dasked = np.empty_like(asked)
        for h in range(self.heads):
            head = self._head(h)
            dp, mine = dquery[:, h], asked[:, head]
            multiply_columns(dp, mine, grads["attention.W_key"][:, head])
            grads["attention.b_key"][head] = doffset[:, h] @ mine
            multiply(dp, p["attention.W_key"][:, head], dasked[:, head])
            dasked[:, head] += np.outer(doffset[:, h], p["attention.b_key"][head])
        return dasked

    def _clock_backward(
        self,
        met: Meetings,
        query: np.ndarray,
        dseen: np.ndarray,
        weight: np.ndarray,
        dscore: np.ndarray,
        span: np.ndarray,
        sine: np.ndarray,
        dasked: np.ndarray,
    ) -> None:
        """Gradients of frequencies and phases of attention; dasked (d,): summed over queries."""
        p, grads = self.parameters, self.parameters.grads
        chunks = -(-len(met.root_row) // ROOTS_PER_CHUNK)
        partial = np.empty((chunks, 2, self.clock), query.dtype)
        meeting_clock_adjoint(met, query, dseen, weight, dscore, span, sine, partial)
        total = partial.sum(axis=0)
        grads["attention.frequency"][:] = total[0]
        slope = np.sin(p["attention.phase"]) * (p["attention.W_query"][self.width :] @ dasked)
        grads["attention.phase"][:] = total[1] - slope

    def _clock(
        self, scope: str, span: np.ndarray, place: np.ndarray, with_sine: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encoded spans (n, d_t), and their sines where gradients need them."""
        dtype = self.parameters.buffer.dtype
        cosine = buffers.empty((len(span), self.clock), dtype)
        sine = buffers.empty((len(span) if with_sine else 0, self.clock), dtype)
        encode = encode_spans if dtype == np.float32 else encode_spans_exactly
        encode(span, place, *self.clocks[scope], cosine, sine)
        return cosine, sine

    def forward(
        self,
        operators: Sequence[Any],
        x: Any,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, Any]:
        """As `Model.forward`: operators is one `Batch`, x its `Mails`."""
        states, remembered = self.remember(x)
        rows, attended = self.attend(operators[0], states, training=stream is not None)
        return rows, (remembered, attended)

    def backward(self, dy: np.ndarray, saved: Any, need_dx: bool = False) -> None:
        """As `Model.backward`; no gradient of events."""
        remembered, attended = saved
        self.remember_backward(self.attend_backward(dy, attended), remembered)

    def evaluate(self, operators: Sequence[Any], x: Any) -> np.ndarray:
        """As `Model.evaluate`."""
        return self.forward(operators, x, None)[0]


def _places(row: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """`entries_by_row` of an array of rows."""
    indptr, entry = np.empty(num_rows + 1, np.int64), np.empty(len(row), np.int64)
    entries_by_row(row, num_rows, indptr, entry)
    return indptr, entry


def _summed(places: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Rows of x summed by row."""
    out = np.empty((len(places[0]) - 1, x.shape[1]), x.dtype)
    sum_by_row(*places, x, out)
    return out
