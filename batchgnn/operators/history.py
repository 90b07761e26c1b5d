"""The operator of pipelined layers: a chunk of the vertices after another, over kept rows of all.

In an epoch the chunks are taken in some order. Each puts the rows that enter an aggregation, and
reads those of the others as they are: of chunks before it fresh, of chunks after it historical.

    forward    y_i = A_ii x_i + sum over j before i of A_ij x_j + sum over j after i of A_ij old_j
    backward   dx_i = A_ii^T g_i + c sum over j after i of A_ji^T g_j,   in the reversed order

g is the gradient of y. That of the historical rows is absent: c = 2 makes up for it (an edge is in
the one half as often as in the other), c = 1 is the exact gradient of forward with frozen old rows.
Or last epoch's g stands in for what is absent. GNNPipe (Chen et al.), sections 3.2 and 3.3.

Where several ranks take parts of a chunk at once, rows are swapped as they are put, and gradients
of the rows of others go home (operators/swaps.py).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from batchgnn.base import buffers
from batchgnn.graph.block import Block
from batchgnn.kernels.attention import (
    Heads,
    attention,
    attention_adjoint_sources,
    attention_adjoint_targets,
)
from batchgnn.kernels.spmm import (
    ADDED,
    BESIDE,
    NO_WEIGHTS,
    ONTO,
    PER_EDGE,
    PER_ROW,
    UNWEIGHTED,
    WITHOUT,
    scale_rows,
    spmm,
    spmm_adjoint,
)
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Aggregation, Matrix
from batchgnn.operators.halo import flat
from batchgnn.operators.local import LocalOperator
from batchgnn.operators.part import Part
from batchgnn.operators.products import SquareProducts
from batchgnn.operators.swaps import Swaps


@dataclass(frozen=True)
class GradientRule:
    """What a chunk reads of the gradients that other chunks leave.

    factor  of those of this epoch
    keeps   whether last epoch's stand in for those that are still to come
    """

    factor: float
    keeps: bool


GRADIENTS = {
    "double": GradientRule(2.0, False),
    "drop": GradientRule(1.0, False),
    "stale": GradientRule(1.0, True),
}


class Edges(NamedTuple):
    """The in-edges, or out-edges, of some consecutive vertices; other ends are rows of all.

    places  which of all edges they are
    """

    indptr: np.ndarray
    indices: np.ndarray
    places: slice


class ChunkedGraph:
    """The edges into this rank's vertices, and which vertices each chunk has.

    ids     of all sources, in the order of the rows: own vertices, then those of other ways
    bounds  int64 (C + 1,): chunk k has the rows bounds[k] : bounds[k + 1], maybe none
    """

    def __init__(
        self,
        block: Block,
        aggregation: Aggregation,
        bounds: np.ndarray,
        *,
        symmetric: bool,
        swaps: Swaps | None = None,
    ):
        """block: own vertices with their in-edges; symmetric: the graph is undirected.

        swaps: of the sources that are no own vertices, where there are any
        """
        self.ids, self.bounds, self.swaps = block.ids, bounds, swaps
        self.num_own, self.num_sources = block.num_targets, block.num_sources
        local = LocalOperator(block, aggregation)
        self.weight = self.weight_by_source = NO_WEIGHTS
        self.per, self.place = UNWEIGHTED, np.empty(0, np.int64)
        if aggregation == "attention":
            self.edges = local.edges()
            indptr, targets, self.place = local.edges_by_source()
        else:
            *_, self.weight, self.per = matrix = local.matrix()
            part = Part(*matrix, self.num_sources, symmetric=symmetric)
            self.edges = part.edges
            indptr, targets, self.weight_by_source = part.transposed
        self.by_source = indptr, targets

    @property
    def num_chunks(self) -> int:
        """C."""
        return len(self.bounds) - 1

    @property
    def num_edges(self) -> int:
        """Of all chunks, with the self-loops that the aggregation adds."""
        return len(self.edges[1])

    def rows(self, chunk: int) -> slice:
        """Those of a chunk."""
        return slice(int(self.bounds[chunk]), int(self.bounds[chunk + 1]))

    def kept_rows(self, chunk: int) -> list[slice]:
        """Those of a chunk, and behind own ones those of other ways."""
        return [self.rows(chunk), *([self.swaps.rows(chunk)] if self.swaps else [])]

    def in_edges(self, rows: slice) -> Edges:
        """Edges into some rows, with their sources."""
        return _of_rows(*self.edges, rows)

    def out_edges(self, rows: slice) -> Edges:
        """Edges out of some rows, with their targets."""
        return _of_rows(*self.by_source, rows)


def _of_rows(indptr: np.ndarray, indices: np.ndarray, rows: slice) -> Edges:
    begin, end = int(indptr[rows.start]), int(indptr[rows.stop])
    places = slice(begin, end)
    return Edges(indptr[rows.start : rows.stop + 1] - begin, indices[places], places)


@dataclass
class KeptRows:
    """A row for every source.

    now  what chunks read: of this epoch where a chunk has put it, else the history
    old  the history; between epochs both are the same
    """

    now: np.ndarray
    old: np.ndarray

    def put_back(self, rows: slice, *, is_snapshot: bool) -> None:
        """Rows are read as history again; those of this epoch become the next history or go."""
        if is_snapshot:
            fresh = self.now[rows].copy()
            self.now[rows] = self.old[rows]
            self.old[rows] = fresh
        else:
            self.now[rows] = self.old[rows]


@dataclass
class History:
    """What the chunks of one aggregation leave for each other.

    rows       of what is aggregated; attention has two: z, and the scores of sources
    gradients  (num_own, d): g, in a product by A's row weights that are one a target
    of_edges   attention alone, (edges, heads) each: coefficients, and gradients of the scores
    is_again   what a chunk puts was put before in this epoch: nothing travels
    Arrays are made when a chunk first puts something there; historical rows are 0 then.
    """

    graph: ChunkedGraph
    rule: GradientRule
    rows: list[KeptRows] = field(default_factory=list)
    gradients: np.ndarray | None = None
    of_edges: list[np.ndarray] = field(default_factory=list)
    is_again: bool = False

    def put(self, chunk: int, *fresh: np.ndarray) -> list[np.ndarray]:
        """Keep a chunk's rows; all rows, as it reads them."""
        if not self.rows:
            self.rows = [KeptRows(*(self._zeros(x) for _ in range(2))) for x in fresh]
        for kept, x in zip(self.rows, fresh, strict=True):
            kept.now[self.graph.rows(chunk)] = x
            if self.graph.swaps and not self.is_again:
                self.graph.swaps.fetch(chunk, kept.now)
        return [kept.now for kept in self.rows]

    def gradients_like(self, dh: np.ndarray, width: int) -> np.ndarray:
        """(num_own, width): g of own vertices."""
        if self.gradients is None:
            self.gradients = np.zeros((self.graph.num_own, width), dh.dtype)
        return self.gradients

    def scale_left(self, rows: slice, places: slice) -> None:
        """What a chunk has left is read by the others from now on."""
        if self.rule.factor == 1 or self.gradients is None:
            return
        self.gradients[rows] *= self.rule.factor
        for each in self.of_edges[1:]:
            each[places] *= self.rule.factor

    def begin_backward(self) -> None:
        """Forget the gradients of the epoch before, unless they stand in for this one's."""
        if not self.rule.keeps and self.gradients is not None:
            self.gradients[...] = 0
            for each in self.of_edges[1:]:
                each[...] = 0

    def put_back(self, chunk: int, *, is_snapshot: bool) -> None:
        """Backward of a chunk is done: chunks before it have read its history."""
        for kept in self.rows:
            for rows in self.graph.kept_rows(chunk):
                kept.put_back(rows, is_snapshot=is_snapshot)

    def end_epoch(self, *, is_snapshot: bool) -> None:
        """All chunks are done."""
        for kept in self.rows:
            if is_snapshot:
                kept.now[...] = kept.old

    def start(self, *rows: np.ndarray) -> None:
        """Begin with these historical rows, of own vertices; collective over the ways."""
        self.rows = []
        for each in rows:
            self.add(each)

    def add(self, rows: np.ndarray) -> None:
        """Rows of own vertices beside those that there are; likewise."""
        if swaps := self.graph.swaps:
            own, rows = rows, self._zeros(rows)
            rows[: len(own)] = own
            for chunk in range(self.graph.num_chunks):
                swaps.fetch(chunk, rows)
        self.rows.append(KeptRows(rows, rows.copy()))

    def edge_arrays(self, heads: int, dtype: np.dtype) -> list[np.ndarray]:
        """Coefficients and gradients of scores of all edges."""
        if not self.of_edges:
            shape = self.graph.num_edges, heads
            self.of_edges = [np.zeros(shape, dtype) for _ in range(2)]
        return self.of_edges

    def _zeros(self, like: np.ndarray) -> np.ndarray:
        return np.zeros((self.graph.num_sources, like.shape[1]), like.dtype)


class ChunkOperator(SquareProducts):
    """The operator of a chunk: x and results have its rows alone, the others' are in a history."""

    only_inputs = False

    def __init__(self, history: History, chunk: int):
        self.history, self.graph, self.chunk = history, history.graph, chunk
        self.rows = self.graph.rows(chunk)
        self.num_targets = self.num_sources = self.graph.num_own
        self.source_ids = self.target_ids = self.graph.ids[self.rows]

    def prepare(self, adjoint: bool) -> None:
        """Nothing: the graph is there."""

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over all vertices are never there: TypeError."""
        raise TypeError("chunk after chunk there are no sums over all vertices")

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        x = dense(x)
        (every,), width = self.history.put(self.chunk, x), x.shape[1]
        indptr, indices, places = self.graph.in_edges(self.rows)
        out = buffers.empty((len(x), width * (2 if self_row == BESIDE else 1)), x.dtype)
        if self_row != WITHOUT:
            out[:, -width:] = x
        per, begins = self.graph.per, ONTO if self_row == ADDED else WITHOUT
        weight = self.graph.weight[places if per == PER_EDGE else self.rows]
        spmm(indptr, indices, weight, per, every, begins, out)
        return out

    def _product_adjoint(self, dh: np.ndarray, self_row: int) -> np.ndarray:
        graph, width = self.graph, dh.shape[1] // (2 if self_row == BESIDE else 1)
        every = self.history.gradients_like(dh, width)
        self._weigh(dh, every[self.rows])
        out = self._pulled(self.rows, every, dh, self_row)
        if graph.swaps:
            far = self._pulled(graph.swaps.rows(self.chunk), every, dh, WITHOUT)
            graph.swaps.add_home(self.chunk, far, out)
        self.history.scale_left(self.rows, graph.in_edges(self.rows).places)
        return out

    def _pulled(self, rows: slice, every: np.ndarray, dh: np.ndarray, self_row: int) -> np.ndarray:
        """The gradient of some sources, over all edges out of them."""
        graph = self.graph
        indptr, targets, places = graph.out_edges(rows)
        out = buffers.empty((rows.stop - rows.start, every.shape[1]), dh.dtype)
        weight, per = NO_WEIGHTS, UNWEIGHTED
        if graph.per == PER_EDGE:
            weight, per = graph.weight_by_source[places], PER_EDGE
        spmm_adjoint(indptr, targets, weight, per, every, dh, self_row, out)
        return out

    def _weigh(self, dh: np.ndarray, out: np.ndarray) -> None:
        """The gradient of sums over edges, by the weights that are one a target."""
        if self.graph.per == PER_ROW:
            scale_rows(dh, self.graph.weight[self.rows], out)
        else:
            out[...] = dh[:, : out.shape[1]]

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, tuple[np.ndarray, Dropout]]:
        """As `Operator.attend`, of the chunk's rows; also needed: the rows that were read."""
        heads = _heads(self.history.put(self.chunk, flat(z), s_src), s_dst)
        indptr, indices, places = self.graph.in_edges(self.rows)
        coefficient, _ = self.history.edge_arrays(z.shape[1], z.dtype)
        out = buffers.empty(z.shape, z.dtype)
        ids = self.target_ids, self.graph.ids
        args = dropout.mask, dropout.first, coefficient[places], out
        attention(indptr, indices, heads, *ids, *args)
        return out, (s_dst, dropout)

    def attend_adjoint(
        self, dh: np.ndarray, saved: tuple[np.ndarray, Dropout]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of the chunk's z, s_src and s_dst; the rows read are as in `attend`."""
        (s_dst, dropout), history = saved, self.history
        heads, scale = _heads([kept.now for kept in history.rows], s_dst), dropout.mask.scale
        coefficient, dscore = history.edge_arrays(dh.shape[1], dh.dtype)
        indptr, indices, places = self.graph.in_edges(self.rows)
        ds_dst, near = np.empty_like(s_dst), (coefficient[places], scale, dh, dscore[places])
        attention_adjoint_targets(indptr, indices, heads, *near, ds_dst)
        every = history.gradients_like(dh, flat(dh).shape[1])
        every[self.rows] = flat(dh)
        by_source = coefficient, scale, dscore, every.reshape(-1, *dh.shape[1:])
        dz, ds_src = self._pulled_heads(self.rows, by_source)
        if swaps := self.graph.swaps:
            far = self._pulled_heads(swaps.rows(self.chunk), by_source)
            for each, out in zip(far, (dz, ds_src), strict=True):
                swaps.add_home(self.chunk, flat(each), flat(out))
        history.scale_left(self.rows, places)
        return dz, ds_src, ds_dst

    def _pulled_heads(self, rows: slice, by_source: tuple) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of z and s_src of some sources."""
        *_, dh = by_source
        indptr, targets, places = self.graph.out_edges(rows)
        shape = rows.stop - rows.start, *dh.shape[1:]
        dz, ds_src = np.empty(shape, dh.dtype), np.empty((shape[0], shape[1]), dh.dtype)
        place = self.graph.place[places]
        attention_adjoint_sources(indptr, targets, place, *by_source, dz, ds_src)
        return dz, ds_src


def _heads(rows: list[np.ndarray], s_dst: np.ndarray) -> Heads:
    """rows: z (N, heads width) and s_src (N, heads), of all vertices."""
    z, s_src = rows
    return Heads(z.reshape(*s_src.shape, z.shape[1] // s_src.shape[1]), s_src, s_dst)
