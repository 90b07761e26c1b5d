"""The operator of tensor parallelism: each rank has some columns of all rows while it aggregates.

A product is split -> the product over the whole topology on own columns -> join: perfect balance
whatever the graph looks like. It goes in chunks of targets (`operators.walk`): the next chunk's
rows and the last one's results travel while a chunk is multiplied. Every sum is pulled in the order
of the edges: neither chunks, threads, overlap nor where the edges lie change a bit of it.

What a weight has of a row or a column of A (1 / degree, GCN's norms) scales whole rows while they
are packed and unpacked, so the walk reads edges and nothing else.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.comm.columns import ColumnExchange
from batchgnn.comm.courier import Courier, Posted
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.aggregate import put_rows
from batchgnn.kernels.attention_slice import (
    HeadSlice,
    attend_slice,
    attend_slice_adjoint_sources,
    attend_slice_adjoint_targets,
    softmax_slice,
)
from batchgnn.kernels.columns import pack_columns, unpack_columns
from batchgnn.kernels.spmm import ADDED, BESIDE, PER_EDGE, UNWEIGHTED, WITHOUT, spmm
from batchgnn.kernels.walk import Run
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Aggregation, Matrix, Saved
from batchgnn.operators.products import SquareProducts
from batchgnn.operators.walk import Walk
from batchgnn.operators.wire import narrowed

Split = Callable[[int], Callable[[], None]]
Compute = Callable[[int, np.ndarray], None]
Put = Callable[[Walk, int, np.ndarray, np.ndarray], None]
"Of a chunk: `SlicedOperator._in_chunks` says what each does."

NO_SCALE, NO_DIAGONAL = np.empty(0, np.float32), np.empty(0, np.float64)


class Scales(NamedTuple):
    """A = diag(target) E diag(source) + diag(diagonal), where E holds the edges' weights, or ones.

    source, target  float32 (num_own,), empty: ones
    diagonal        float64 (num_own,), empty: zeros
    weighted        whether E holds the graph's weights
    """

    source: np.ndarray = NO_SCALE
    target: np.ndarray = NO_SCALE
    diagonal: np.ndarray = NO_DIAGONAL
    weighted: bool = False


def scales_of(
    aggregation: Aggregation,
    degree: np.ndarray,
    norm: np.ndarray = NO_SCALE,
    loops: np.ndarray = NO_DIAGONAL,
    *,
    weighted: bool,
) -> Scales:
    """What A is made of.

    degree  int64 (num_own,)    in-degrees
    norm    float32 (num_own,)  GCN's norms
    loops   float64 (num_own,)  weight of GCN's loop less that of the graph's self-loops, in E
    """
    if aggregation == "mean":
        return Scales(target=1 / np.maximum(degree, 1).astype(np.float32))
    if aggregation == "gcn":
        return Scales(norm, norm, norm.astype(np.float64) ** 2 * loops, weighted)
    return Scales()


class Slices(NamedTuple):
    """Columns of heads that each rank has while it attends.

    bounds   int64 (P + 1,)  columns of rank p are bounds[p] : bounds[p + 1]
    heads    int64 (P + 1,)  whole heads of each rank; None where heads are cut
    segment, head            of this rank, as in kernels/attention_slice.py
    """

    bounds: np.ndarray
    heads: np.ndarray | None
    segment: np.ndarray
    head: np.ndarray


def slices_of(num_heads: int, width: int, num_ranks: int, rank: int) -> Slices:
    """Whole heads for each rank where there are enough, else equal numbers of columns."""
    if num_heads >= num_ranks:
        heads = even_bounds(num_heads, num_ranks)
        mine = np.arange(heads[rank], heads[rank + 1])
        return Slices(heads * width, heads, np.arange(len(mine) + 1) * width, mine)
    bounds = even_bounds(num_heads * width, num_ranks)
    begin, end = bounds[rank : rank + 2]
    inside = np.arange(num_heads + 1) * width
    cuts = np.unique([begin, *inside[(inside > begin) & (inside < end)], end])
    return Slices(bounds, None, cuts - begin, cuts[:-1] // max(width, 1))


class SlicedOperator(SquareProducts):
    """The operator of the whole graph; rows are dealt evenly, and columns while it aggregates.

    x and every result have a row for each own vertex. All methods but `targets` and `add_targets`
    are collective; `num_targets` and `num_sources` are those of the graph, on every rank.
    """

    only_inputs = False

    def __init__(
        self,
        comm: Comm,
        exchange: ColumnExchange,
        courier: Courier,
        walk: Walk,
        back: Walk,
        ids: np.ndarray,
        scales: Scales,
        wire: np.dtype | None = None,
    ):
        """Collective.

        comm: for `total`; exchange: its communicator is the courier's alone, if that has a thread
        walk, back: over the in-edges, and over the out-edges; of an undirected graph the same
        ids: of the own vertices, the keys of dropout; vertex ids are rows of `walk`
        wire: what a product's columns are rounded to before they travel, and those that stay here
        """
        self.comm, self.exchange, self.courier = comm, exchange, courier
        self.wire = wire
        self.walk, self.back, self.scales = walk, back, scales
        self.rank, self.num_ranks = exchange.rank, exchange.size
        self.num_targets = self.num_sources = walk.num_rows
        self.source_ids = self.target_ids = ids
        self.num_own = len(ids)
        for each in {id(w): w for w in (walk, back)}.values():
            if each.num_chunks > 1:
                each.set_groups(exchange.least(each.first_needed(self.rank)))

    def prepare(self, adjoint: bool) -> None:
        """Nothing is left to do."""

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the own vertices, added up over the ranks, in place."""
        allreduce_sum(self.comm, sums, "sums over vertices")
        return sums

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        x, (source, target, diagonal, _) = np.ascontiguousarray(dense(x)), self.scales
        width = x.shape[1]
        out = buffers.empty((self.num_own, width * (2 if self_row == BESIDE else 1)), x.dtype)
        if self_row == BESIDE:
            out[:, width:] = x
        elif self_row == ADDED:
            diagonal = self._plus_one(diagonal)
        put = partial(self._unpack, scale=target, diagonal=diagonal, x=x, column=0, out=out)
        self._multiply(self.walk, x, width, source, put)
        return out

    def _product_adjoint(self, dh: np.ndarray, self_row: int) -> np.ndarray:
        dh, (source, target, diagonal, _) = np.ascontiguousarray(dh), self.scales
        width, column = dh.shape[1] // (2 if self_row == BESIDE else 1), 0
        if self_row == BESIDE:  # the aggregation of its layer, mean, has no diagonal
            column, diagonal = width, self._plus_one(NO_DIAGONAL)
        elif self_row == ADDED:
            diagonal = self._plus_one(diagonal)
        out = buffers.empty((self.num_own, width), dh.dtype)
        put = partial(self._unpack, scale=source, diagonal=diagonal, x=dh, column=column, out=out)
        self._multiply(self.back, dh, width, target, put)
        return out

    def _plus_one(self, diagonal: np.ndarray) -> np.ndarray:
        return diagonal + 1 if len(diagonal) else np.ones(self.num_own)

    def _multiply(self, walk: Walk, x: np.ndarray, width: int, scale: np.ndarray, put: Put) -> None:
        """Split rows of x, multiply by the edges of `walk`, join; `put` takes what arrives."""
        bounds = even_bounds(width, self.num_ranks)
        z = self._empty_columns(bounds, self.wire or x.dtype)

        def product(chunk: int, out: np.ndarray) -> None:
            if z.shape[1]:
                self._edges_times(walk, chunk, z, out)

        split = partial(self._post_split, walk, x, scale, bounds, z)
        self._in_chunks(walk, bounds, x.dtype, split, product, put)

    def _edges_times(self, walk: Walk, chunk: int, z: np.ndarray, out: np.ndarray) -> None:
        """out = E z of a chunk's targets: own columns (N, w) -> (rows of the chunk, w)."""
        for at, run in walk.runs(chunk):
            self._run_times(run, z, out[at : at + len(run.indptr) - 1])

    def _run_times(self, run: Run, z: np.ndarray, out: np.ndarray) -> None:
        """out = E z of a run's vertices."""
        per = PER_EDGE if self.scales.weighted else UNWEIGHTED
        spmm(run.indptr, run.indices, run.weight, per, z, WITHOUT, out)

    def _in_chunks(
        self,
        walk: Walk,
        bounds: np.ndarray,
        dtype: DTypeLike,
        split: Split,
        compute: Compute,
        put: Put,
    ) -> None:
        """Compute chunk after chunk while rows of the next and results of the last one travel.

        split(chunk): begins to fetch a group of rows, returns what waits for them
        compute(chunk, out): out (rows of the chunk, own width), ordered by rank
        put(walk, chunk, bounds, blocks): takes the results that arrived for own rows
        """
        width = int(bounds[self.rank + 1] - bounds[self.rank])
        ahead, before = split(0), None
        for chunk in range(walk.num_chunks):
            arrive = ahead
            if chunk + 1 < walk.num_chunks:
                ahead = split(chunk + 1)
            walk.expect(chunk + 1)
            arrive()
            counts = walk.counts(chunk)
            out = buffers.empty((int(counts.sum()), width), dtype)
            compute(chunk, out)
            joining = self._post_join(narrowed(out, self.wire or out.dtype), counts, bounds)
            if before is not None:
                put(walk, chunk - 1, bounds, before.wait())
            before = joining
        if before is not None:
            put(walk, walk.num_chunks - 1, bounds, before.wait())

    def _post_split(
        self,
        walk: Walk,
        x: np.ndarray,
        scale: np.ndarray,
        bounds: np.ndarray,
        z: np.ndarray,
        chunk: int,
    ) -> Callable[[], None]:
        """Begin to move a group's rows of x into own columns z; returns what waits for it."""
        rows, counts = walk.own_group(chunk, self.rank), walk.group_counts(chunk)
        blocks = buffers.empty(len(rows) * int(bounds[-1]), x.dtype)
        pack_columns(x, rows, scale, bounds, blocks)
        blocks = narrowed(blocks.reshape(1, -1), z.dtype).reshape(-1)
        group = walk.group(chunk)
        out = z if group is None else buffers.empty((len(group), z.shape[1]), z.dtype)
        posted = self.courier.post(partial(self.exchange.split, blocks, counts, bounds, out))

        def arrive() -> None:
            arrived = posted.wait()
            if group is not None:
                put_rows(arrived, group, False, z)

        return arrive

    def _post_join(
        self, rows: np.ndarray, counts: np.ndarray, bounds: np.ndarray
    ) -> Posted[np.ndarray]:
        """Begin to send own columns of a chunk's rows to their ranks; own rows' blocks come."""
        blocks = buffers.empty(int(counts[self.rank]) * int(bounds[-1]), rows.dtype)
        return self.courier.post(partial(self.exchange.join, rows, counts, bounds, blocks))

    def _unpack(
        self,
        walk: Walk,
        chunk: int,
        bounds: np.ndarray,
        blocks: np.ndarray,
        *,
        scale: np.ndarray,
        diagonal: np.ndarray,
        x: np.ndarray,
        column: int,
        out: np.ndarray,
    ) -> None:
        """Put arrived blocks into own rows of out, scaled, with what the own rows of x add."""
        first, count = walk.stripe(chunk, self.rank)
        unpack_columns(blocks, bounds, count, first, scale, diagonal, x, column, out)

    def _empty_columns(self, bounds: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        width = int(bounds[self.rank + 1] - bounds[self.rank])
        return buffers.empty((self.walk.num_rows, width), dtype)

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Saved]:
        """As `LocalOperator.attend`, over own vertices; z (num_own, heads, width)."""
        slices = slices_of(z.shape[1], z.shape[2], self.num_ranks, self.rank)
        bounds, flat = slices.bounds, np.ascontiguousarray(z).reshape(len(z), -1)
        own_z = self._empty_columns(bounds, z.dtype)
        scores = self._all_rows(s_src, slices), self._all_rows(s_dst, slices)
        softmax = np.empty_like(scores[0]), np.empty_like(scores[0])
        part = HeadSlice(own_z, *scores, slices.segment, slices.head, dropout.mask, *softmax)

        def forward(chunk: int, out: np.ndarray) -> None:
            for at, run in self.walk.runs(chunk):
                softmax_slice(run, part)
                attend_slice(run, part, out[at : at + len(run.indptr) - 1])

        out = buffers.empty(flat.shape, z.dtype)
        put = partial(self._unpack, scale=NO_SCALE, diagonal=NO_DIAGONAL, x=flat, column=0, out=out)
        split = partial(self._post_split, self.walk, flat, NO_SCALE, bounds, own_z)
        self._in_chunks(self.walk, bounds, z.dtype, split, forward, put)
        return out.reshape(z.shape), (slices, part)

    def attend_adjoint(
        self, dh: np.ndarray, saved: Saved
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of the own rows of z, s_src and s_dst from that of h."""
        slices, part = saved
        flat = np.ascontiguousarray(dh).reshape(len(dh), -1)
        own_dh = self._all_columns(flat, slices.bounds)
        mean, ds_src, ds_dst = (np.empty_like(part.s_src) for _ in range(3))
        for chunk in range(self.walk.num_chunks):
            self.walk.expect(chunk + 1)
            for _, run in self.walk.runs(chunk):
                attend_slice_adjoint_targets(run, part, own_dh, mean, ds_dst)

        def backward(chunk: int, out: np.ndarray) -> None:
            for at, run in self.back.runs(chunk):
                rows = out[at : at + len(run.indptr) - 1]
                attend_slice_adjoint_sources(run, part, own_dh, mean, rows, ds_src)

        dz = buffers.empty(flat.shape, dh.dtype)
        put = partial(self._unpack, scale=NO_SCALE, diagonal=NO_DIAGONAL, x=flat, column=0, out=dz)
        self._in_chunks(self.back, slices.bounds, dh.dtype, _no_split, backward, put)
        scores = [self._own_rows(ds, slices, dh.shape[1]) for ds in (ds_src, ds_dst)]
        return dz.reshape(dh.shape), scores[0], scores[1]

    def _all_columns(self, x: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Own columns of all rows, in one exchange."""
        out = self._empty_columns(bounds, x.dtype)
        blocks = buffers.empty(x.shape[0] * int(bounds[-1]), x.dtype)
        pack_columns(x, np.arange(len(x)), NO_SCALE, bounds, blocks)
        counts = np.diff(self.walk.row_bounds)
        self.courier.post(partial(self.exchange.split, blocks, counts, bounds, out)).wait()
        return out

    def _joined(self, columns: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """The inverse of `_all_columns`, and its adjoint."""
        counts, shape = np.diff(self.walk.row_bounds), (self.num_own, int(bounds[-1]))
        out = buffers.empty(shape, columns.dtype)
        blocks = self._post_join(columns, counts, bounds).wait()
        unpack_columns(blocks, bounds, self.num_own, 0, NO_SCALE, NO_DIAGONAL, out, 0, out)
        return out

    def _all_rows(self, scores: np.ndarray, slices: Slices) -> np.ndarray:
        """(num_own, heads) -> (N, segments): the scores of this rank's segments, of all rows."""
        scores = np.ascontiguousarray(scores)
        if slices.heads is not None:
            return self._all_columns(scores, slices.heads)
        counts = np.diff(self.walk.row_bounds)
        every = self.courier.post(partial(self.exchange.collect, scores, counts)).wait()
        return np.ascontiguousarray(every[:, slices.head])

    def _own_rows(self, sums: np.ndarray, slices: Slices, num_heads: int) -> np.ndarray:
        """The adjoint of `_all_rows`: (N, segments) -> (num_own, heads)."""
        if slices.heads is not None:
            return self._joined(sums, slices.heads)
        every = np.zeros((len(sums), num_heads), sums.dtype)
        every[:, slices.head] = sums
        counts = np.diff(self.walk.row_bounds)
        return self.courier.post(partial(self.exchange.reduce, every, counts)).wait()


def _no_split(_chunk: int) -> Callable[[], None]:
    """All rows are there."""
    return lambda: None
