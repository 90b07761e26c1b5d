"""Kept inputs: what the first layer aggregates for a vertex, over all in-neighbours.

Features do not change, so this is computed once: one product over all ranks, in blocks of columns,
so that no rank holds more of remote rows at once than a given number of bytes. The edges of a
vertex are added in the order in which they lie in its shard: any ranks give the same numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Protocol

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.base.progress import Progress, progress
from batchgnn.comm.exchange import ArrayRows, RowExchange, RowSource, allreduce_max
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Comm
from batchgnn.kernels.aggregate import gcn_edges
from batchgnn.kernels.half import as_bits, dtype_name, narrow_rows
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.spmm import NO_WEIGHTS, PER_EDGE, PER_ROW, UNWEIGHTED, WITHOUT, spmm
from batchgnn.nn.operator import Aggregation
from batchgnn.sampling.in_edges import InEdges
from batchgnn.store.kept_inputs import create_kept, open_kept, origin_of
from batchgnn.store.own_shards import ById, Column, OwnShards
from batchgnn.store.shard_store import ShardStore

BLOCK_BYTES = 256 << 20
"Remote rows, sent and received, that a rank holds at once."
CHUNK_BYTES, EDGE_BYTES = 32 << 20, 16
"Rows of the result, and their edges, that are computed at once."
PIECE_ROWS = 1 << 14
"Rows that are cut to a block's columns at once."


def keep_inputs(
    comm: Comm,
    own: OwnShards,
    aggregation: Aggregation,
    *,
    keep: str,
    memory: list[np.ndarray] | None = None,
    show: bool = False,
) -> Column:
    """The kept input rows of the own vertices, (num_own, D) in own order; collective.

    keep: "memory" to compute them now; "store" to map the files beside the shards, which are made
    where they are missing. As wide as the features are held. Raises StoreError, ConfigError.
    memory: with keep "memory", a matrix for each own shard, where they are to be
    """
    shards, width, dtype = own.shards, own.features.width, own.features.dtype
    every = list(range(len(shards)))
    if keep == "memory":
        own_memory = (np.empty((len(part), width), dtype) for part in own.features.parts)
        rows = [as_bits(part) for part in memory or own_memory]
        InputAggregation(comm, own, aggregation, every).into(rows, show=show)
        return Column(rows)
    store = ShardStore(own.path)
    origin = origin_of(store.manifest, aggregation, dtype_name(dtype))
    with fail_together(comm, f"opening aggregated features of {store.path}"):
        found = [open_kept(store, origin, int(s)) for s in shards]
    missing = [k for k in every if found[k] is None]
    if allreduce_max(comm, len(missing), "missing aggregates"):
        with ExitStack() as stack:
            with fail_together(comm, f"writing aggregated features to {store.path}"):
                drafts = [create_kept(store, origin, int(shards[k]), dtype) for k in missing]
                out = [stack.enter_context(draft) for draft in drafts]
            InputAggregation(comm, own, aggregation, missing).into(out, show=show)
            with fail_together(comm, f"writing aggregated features to {store.path}"):
                stack.close()
        with fail_together(comm, f"opening aggregated features of {store.path}"):
            found = [open_kept(store, origin, int(s)) for s in shards]
    return Column([rows for rows in found if rows is not None])


class Writable(Protocol):
    """A matrix whose blocks of rows and columns are written, or what can be written to like one."""

    @property
    def dtype(self) -> np.dtype:
        """What it holds: float32, or the bits of halves."""

    def __setitem__(self, where: tuple[slice, slice], rows: np.ndarray, /) -> None:
        """Write a block."""


class InputAggregation:
    """One product of the in-edges of own shards with the features of all vertices.

    mean and sum leave out the vertex itself, which the layer adds; gcn has it, with its norm.
    """

    def __init__(self, comm: Comm, own: OwnShards, aggregation: Aggregation, todo: list[int]):
        """Plan it; collective. todo: which of the rank's own shards (0, 1, ...) to compute."""
        self.comm, self.own, self.aggregation, self.todo = comm, own, aggregation, todo
        self.edges = InEdges(own, comm.size, todo)
        wanted = self.edges.remote, self.edges.counts
        self.exchange = RowExchange(comm, *wanted, "aggregated sources")
        self.norm = NO_WEIGHTS
        if aggregation == "gcn":
            far = self.exchange.forward(ById(ArrayRows(own.gcn_scale[:, None]), own.ownership))
            self.norm = np.concatenate([own.gcn_scale, far[:, 0]])

    def into(
        self, out: Sequence[Writable], *, block_bytes: int = BLOCK_BYTES, show: bool = False
    ) -> None:
        """Compute the rows of the shards of `todo`; collective.

        out: for each of them a matrix (n, D), float32 or half-width bits, overwritten
        show: whether this rank shows the progress

        Raises ConfigError when a finite sum is too large for half-width numbers.
        """
        blocks = self._column_blocks(block_bytes)
        edges = sum(len(self.own.in_indices.parts[k]) for k in self.todo)
        num_lost = 0
        with progress("aggregating inputs", len(blocks) * edges, "edges", show=show) as shown:
            for begin, end in blocks:
                num_lost += self._columns_into(out, begin, end, shown)
        if allreduce_max(self.comm, num_lost, "sums too large"):
            raise _too_large(self.aggregation)

    def _columns_into(self, out: Sequence[Writable], begin: int, end: int, shown: Progress) -> int:
        """Compute some columns; collective. How many finite sums were too large."""
        columns = Columns(ById(self.own.features, self.own.ownership), begin, end)
        fetched = self.exchange.forward(columns)
        address, num_lost = self._addresses(begin, fetched), 0
        for k, rows in zip(self.todo, out, strict=True):
            for a, b in self._chunks(k, end - begin):
                indptr, part = self._product(k, a, b, address, end - begin)
                num_lost += _put(part, rows, np.s_[a:b, begin:end])
                shown.advance(int(indptr[-1]))
        return num_lost

    def _column_blocks(self, block_bytes: int) -> list[tuple[int, int]]:
        """First and last column + 1 of every block, the same on all ranks."""
        features = self.own.features
        rows = self.exchange.num_received + len(self.exchange.send_rows)
        column_bytes = max(1, rows * features.dtype.itemsize)
        fit = max(1, block_bytes // column_bytes)
        num_blocks = allreduce_max(self.comm, -(-features.width // fit), "column blocks")
        cuts = [n * features.width // num_blocks for n in range(num_blocks + 1)]
        return list(pairwise(cuts))

    def _chunks(self, k: int, width: int) -> Iterator[tuple[int, int]]:
        """Consecutive rows of shard k that take about CHUNK_BYTES, in blocks of `width` columns.

        A vertex with more edges than that has a chunk of its own.
        """
        indptr = self.own.in_indptr.parts[k]
        held = EDGE_BYTES * indptr + (4 * width + 16) * np.arange(len(indptr))
        cuts = np.searchsorted(held, np.arange(0, held[-1], CHUNK_BYTES))
        yield from pairwise([*np.unique(cuts).tolist(), len(indptr) - 1])

    def _addresses(self, begin: int, fetched: np.ndarray) -> np.ndarray:
        """uint64: where column `begin` of every own row lies, then where each fetched row does."""
        features = self.own.features
        own = features.at(np.arange(self.own.num_own)).address
        size = np.uint64(features.dtype.itemsize)
        far = np.arange(len(fetched), dtype=np.uint64) * (np.uint64(fetched.shape[1]) * size)
        first = np.uint64(fetched.ctypes.data)
        return np.concatenate([own + np.uint64(begin) * size, first + far])

    def _product(
        self, k: int, a: int, b: int, address: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """indptr and aggregated columns, float32 (b - a, width), of rows a ... b - 1 of shard k."""
        own = self.own
        indptr, rows = self.edges.rows(k, a, b)
        out = np.empty((b - a, width), np.float32)
        columns = Rows(address, np.empty((0, width), own.features.dtype))
        if self.aggregation == "gcn":
            looped, rows, weight = self._with_norms(k, a, indptr, rows)
            spmm(looped, rows, weight, PER_EDGE, columns, WITHOUT, out)
        elif self.aggregation == "mean":
            weight = 1 / np.maximum(np.diff(indptr), 1).astype(np.float32)
            spmm(indptr, rows, weight, PER_ROW, columns, WITHOUT, out)
        else:
            spmm(indptr, rows, NO_WEIGHTS, UNWEIGHTED, columns, WITHOUT, out)
        return indptr, out

    def _with_norms(
        self, k: int, a: int, indptr: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """GCN's edges into rows a ... of shard k: indptr, rows, weights."""
        own = self.own
        weight = NO_WEIGHTS
        if own.in_weight is not None:
            begin = own.in_indptr.parts[k][a]
            weight = own.in_weight.parts[k][begin : begin + len(rows)]
        most = len(rows) + len(indptr) - 1
        looped, out = np.empty_like(indptr), np.empty(most, np.int32)
        normed = np.empty(most, np.float32)
        first = own.first_row[k] + a
        count = gcn_edges(first, indptr, rows, weight, self.norm, looped, out, normed)
        if own.gcn_loop is not None:
            normed[looped[:-1]] *= own.gcn_loop[first : first + len(looped) - 1]
        return looped, out[:count], normed[:count]


class Columns:
    """Some columns of a matrix as a `RowSource`."""

    def __init__(self, source: RowSource, begin: int, end: int):
        self.source, self.begin, self.end = source, begin, end
        self.width, self.dtype = end - begin, source.dtype

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = the columns of row rows[i]."""
        if self.width == self.source.width:
            self.source.take(rows, out)
            return
        every = np.empty((min(len(rows), PIECE_ROWS), self.source.width), self.dtype)
        for begin in range(0, len(rows), PIECE_ROWS):
            piece = rows[begin : begin + PIECE_ROWS]
            self.source.take(piece, every[: len(piece)])
            out[begin : begin + len(piece)] = every[: len(piece), self.begin : self.end]


def _put(rows: np.ndarray, out: Writable, where: tuple[slice, slice]) -> int:
    """out[where] = rows, rounded to out's width; how many finite numbers became infinite."""
    if out.dtype == np.float32:
        out[where] = rows
        return 0
    narrow = np.empty(rows.shape, out.dtype)
    num_lost = narrow_rows(rows, narrow)
    out[where] = narrow
    return num_lost


def _too_large(aggregation: Aggregation) -> ConfigError:
    error = ConfigError(
        f"--aggregate-cache: the {aggregation} over a neighbourhood is too large for float16: "
        "train with --feature-dtype bfloat16 or float32, or without the cache."
    )
    error.on_all_ranks = True
    return error
