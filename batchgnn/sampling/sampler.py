"""Distributed neighbour sampling: one hop of M minibatches in one round of requests and replies.

A vertex is sampled by the rank that owns it. The draw depends on (run seed, epoch, step, hop,
vertex) alone, so that the blocks are those that one rank would make.
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.comm.exchange import exchange_counts, exchange_parts, starts
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.kernels.relabel import Table, relabel_blocks
from batchgnn.kernels.requests import (
    Blocks,
    copy_segments,
    count_owners,
    post_requests,
    read_replies,
)
from batchgnn.kernels.sample import NUM_SHARES, draw_neighbors, locate
from batchgnn.sampling.left_out import LeftOut
from batchgnn.store.own_shards import Column, OwnShards
from batchgnn.store.topology import WholeTopology

ALL = -1
"The fanout that keeps every neighbour."

DENSE_BYTES = 64 << 20


@dataclass
class Drawn:
    """In-edges drawn for n requested vertices, one vertex after the other.

    count, degree  int64 (n,)      edges drawn, and all there are
    neighbors      ids' dtype      (sum of count,)
    weight         float32 (sum of count,) or None
    scale          float32 (n,) or None     GCN's norm of the requested vertices
    loop           float32 (n,) or None     weight of GCN's loop there, with weights
    """

    count: np.ndarray
    degree: np.ndarray
    neighbors: np.ndarray
    weight: np.ndarray | None
    scale: np.ndarray | None
    loop: np.ndarray | None

    def without(self, keep: np.ndarray, count: np.ndarray) -> "Drawn":
        """The edges that are kept, bool (edges,), `count` of each vertex.

        There are fewer in all by as many as the drawn ones let expect, so that sums stay those
        of the edges that are left: to rounding where some are drawn, exactly where all are.
        """
        lost, drawn = self.count - count, np.maximum(self.count, 1)
        degree = self.degree - (2 * lost * self.degree + drawn) // (2 * drawn)
        weight = None if self.weight is None else self.weight[keep]
        return replace(
            self, count=count, degree=degree, neighbors=self.neighbors[keep], weight=weight
        )


def is_dense(num_vertices: int) -> bool:
    """Whether a table has a slot for each vertex."""
    return 8 * num_vertices <= DENSE_BYTES


def table_bytes(num_vertices: int, dtype: np.dtype, entries: int) -> int:
    """Most bytes of one of `Tables` with room for so many ids."""
    slots = num_vertices if is_dense(num_vertices) else 4 * min(entries, num_vertices)
    return slots * (8 if is_dense(num_vertices) else 8 + dtype.itemsize)


class Tables:
    """Scratch of the relabelling: one table for each thread, used again with another stamp.

    A slot for each vertex of the graph where that takes no more than DENSE_BYTES a table, else
    hash tables, which grow.
    """

    def __init__(self, dtype: DTypeLike, num_vertices: int, count: int):
        self.dense = is_dense(num_vertices)
        self.idents = np.empty((count, 0), dtype)
        self.marks = np.zeros((count, num_vertices if self.dense else 0), np.int64)
        self.next_stamp = 1

    def reserve(self, entries: int) -> None:
        """Room for `entries` ids a table, at a load of at most one half."""
        if not self.dense and 2 * entries > self.marks.shape[1]:
            shape = len(self.marks), 1 << max(4, int(2 * entries - 1).bit_length())
            self.idents, self.marks = np.empty(shape, self.idents.dtype), np.zeros(shape, np.int64)

    def stamped(self, count: int) -> Table:
        """All tables, with the first of `count` stamps that no entry has."""
        if self.next_stamp + count >= 2**31:
            self.marks[:] = 0
            self.next_stamp = 1
        first, self.next_stamp = self.next_stamp, self.next_stamp + count
        return Table(self.idents, self.marks, first)


class Sampler:
    """Draws the in-edges of any vertices, for all ranks of `comm` together."""

    def __init__(
        self, comm: Comm, own: OwnShards, *, gcn: bool, shared: WholeTopology | None = None
    ):
        """gcn: blocks carry edge weights and the norm of every vertex.

        shared: the in-edges of all vertices, when they are in this node's memory: no messages then.
        """
        self.comm, self.own, self.gcn = comm, own, gcn
        self.topology: OwnShards | WholeTopology = own if shared is None else shared
        self.is_local = comm.size == 1 or shared is not None
        self.in_weight = self.topology.in_weight if gcn else None
        self.weighted = self.in_weight is not None
        num_vertices = int(own.ownership.offset[-1])
        self.tables = Tables(own.ids.dtype, num_vertices, numba.get_num_threads())

    def hop(
        self,
        frontiers: list[np.ndarray],
        keys: np.ndarray,
        fanout: int,
        skipped: np.ndarray | None = None,
        left_out: LeftOut | None = None,
    ) -> list[Block]:
        """The blocks of one hop; collective.

        frontiers: M arrays of distinct global ids, the targets; keys: uint64 (M,), stream keys
        skipped: bool (num_own,), vertices of this rank of which no edge is drawn for anyone
        left_out: edges that are not in the blocks where they were drawn
        """
        start, ids = starts(np.array([len(f) for f in frontiers])), np.concatenate(frontiers)
        if self.is_local:
            request, wanted = np.arange(len(ids)), ids
            drawn = self._draw(ids, np.repeat(keys, np.diff(start)), fanout, skipped)
        else:
            request, owner_counts, wanted = self._post(ids, start)
            drawn = self._ask(wanted, owner_counts, keys, fanout, skipped)
        if left_out is not None:
            step = np.empty(len(ids), np.int64)
            step[request] = np.repeat(np.arange(len(keys)), np.diff(start))
            edges = starts(drawn.count), drawn.neighbors
            drawn = drawn.without(*left_out.kept(step, wanted, *edges))
        return self._blocks(ids, start, request, drawn)

    def own_block(self, ids: np.ndarray) -> Block:
        """All in-edges of own vertices; no communication."""
        drawn = self._draw(ids, np.zeros(len(ids), np.uint64), ALL)
        return self._blocks(ids, np.array([0, len(ids)]), np.arange(len(ids)), drawn)[0]

    def _post(
        self, ids: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each request goes, how many each owner gets of each minibatch, the requests."""
        owner = self.own.ownership.owner(ids)
        counts = np.empty((len(start) - 1, self.comm.size), np.int64)
        for row, first, last in zip(counts, start, start[1:], strict=False):
            count_owners(owner[first:last], row)
        wanted, request = np.empty_like(ids), np.empty(len(ids), np.int64)
        post_requests(ids, owner, starts(counts.sum(axis=0))[:-1], wanted, request)
        return request, np.ascontiguousarray(counts.T), wanted

    def _ask(
        self,
        wanted: np.ndarray,
        counts: np.ndarray,
        keys: np.ndarray,
        fanout: int,
        skipped: np.ndarray | None,
    ) -> Drawn:
        """Send the requests to their owners, serve those of the others, collect the replies."""
        asked_counts = exchange_counts(self.comm, counts, "sample requests")
        asked = np.empty(asked_counts.sum(), wanted.dtype)
        per_owner, per_asker = counts.sum(axis=1), asked_counts.sum(axis=1)
        exchange_parts(self.comm, wanted, per_owner, asked, per_asker, "sample requests")
        asked_keys = np.repeat(np.tile(keys, self.comm.size), asked_counts.ravel())
        drawn = self._draw(asked, asked_keys, fanout, skipped)

        replies, words = self._pack(drawn, per_asker)
        words_back = exchange_counts(self.comm, words, "sample replies")
        back = np.empty(words_back.sum(), replies.dtype)
        exchange_parts(self.comm, replies, words, back, words_back, "sample replies")
        return self._unpack(back, words_back, per_owner)

    def _draw(
        self, ids: np.ndarray, keys: np.ndarray, fanout: int, skipped: np.ndarray | None = None
    ) -> Drawn:
        """Draw from the topology that is here; keys: uint64 (n,)."""
        here = self.topology
        rows = here.rows(ids)
        degree, count = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
        where = np.empty(len(ids), np.uint64)

        def draw(column: Column) -> np.ndarray:
            locate(
                rows,
                here.first_row,
                here.in_indptr.address,
                column.address,
                column.dtype.itemsize,
                fanout,
                where,
                degree,
                count,
            )
            if skipped is not None:
                count[skipped[rows]] = 0
            start = starts(count)
            scratch = np.empty((NUM_SHARES, max(fanout, 0)), np.int64)
            out = buffers.empty(int(start[-1]), column.dtype)
            draw_neighbors(keys, ids, where, degree, count, start, scratch, out)
            return out

        neighbors = draw(here.in_indices)
        weight = None if self.in_weight is None else draw(self.in_weight)
        norms = here.gcn_scale if self.gcn else None
        loops = here.gcn_loop if self.weighted else None
        scale, loop = (None if each is None else each[rows] for each in (norms, loops))
        return Drawn(count, degree, neighbors, weight, scale, loop)

    def _pack(self, drawn: Drawn, per_asker: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One message a rank, in words of the id dtype: counts, degrees, norms, loops, ids,
        weights.
        """
        dtype = drawn.neighbors.dtype
        by_row = [drawn.count.astype(dtype), drawn.degree.astype(dtype)]
        by_edge = [drawn.neighbors]
        by_row += [_as_words(x, dtype) for x in (drawn.scale, drawn.loop) if x is not None]
        if drawn.weight is not None:
            by_edge.append(_as_words(drawn.weight, dtype))
        row, edge_of_row = starts(per_asker), starts(drawn.count)
        pieces, words = [], np.empty(len(per_asker), np.int64)
        for p in range(len(per_asker)):
            a, b = row[p], row[p + 1]
            mine = [x[a:b] for x in by_row]
            mine += [x[edge_of_row[a] : edge_of_row[b]] for x in by_edge]
            words[p] = sum(map(len, mine))
            pieces += mine
        return np.concatenate(pieces), words

    def _unpack(self, back: np.ndarray, words: np.ndarray, per_owner: np.ndarray) -> Drawn:
        """The replies of all owners in the order of the requests; inverse of `_pack`."""
        num_by_row, num_by_edge = 2 + self.gcn + self.weighted, 1 + self.weighted
        parts: list[list[np.ndarray]] = [[] for _ in range(num_by_row + num_by_edge)]
        begin = starts(words)
        for p, n in enumerate(per_owner):
            num_edges = (words[p] - n * num_by_row) // num_by_edge
            at = begin[p]
            for k, part in enumerate(parts):
                length = n if k < num_by_row else num_edges
                part.append(back[at : at + length])
                at += length
        joined = [np.concatenate(part) for part in parts]
        return Drawn(
            joined[0].astype(np.int64),
            joined[1].astype(np.int64),
            joined[num_by_row],
            _as_floats(joined[num_by_row + 1]) if self.weighted else None,
            _as_floats(joined[2]) if self.gcn else None,
            _as_floats(joined[3]) if self.weighted else None,
        )

    def _blocks(
        self, ids: np.ndarray, start: np.ndarray, request: np.ndarray, drawn: Drawn
    ) -> list[Block]:
        """The blocks of all minibatches out of the replies to all their requests."""
        num_blocks, n = len(start) - 1, len(ids)
        indptr, degree = np.empty(n + num_blocks, np.int64), np.empty(n, np.int64)
        read_replies(start, request, drawn.count, drawn.degree, indptr, degree)
        edge_begin = starts(indptr[start[1:] + np.arange(num_blocks)])
        self.tables.reserve(int(np.max(np.diff(start) + np.diff(edge_begin), initial=0)))
        sources = buffers.empty(n + int(edge_begin[-1]), ids.dtype)
        indices, num_sources = (
            buffers.empty(int(edge_begin[-1]), np.int32),
            np.empty(num_blocks, int),
        )
        edge_start, blocks = starts(drawn.count), Blocks(start, request, indptr, edge_begin)
        tables = self.tables.stamped(num_blocks)
        given = (blocks, ids, edge_start, drawn.neighbors, tables)
        relabel_blocks(*given, sources, num_sources, indices)
        weight = None
        if drawn.weight is not None:
            weight = buffers.empty(len(indices), np.float32)
            copy_segments(blocks, edge_start, drawn.weight, weight)
        scale = None if drawn.scale is None else drawn.scale[request]
        loop = None if drawn.loop is None else drawn.loop[request]

        def block(m: int) -> Block:
            targets, edges = slice(start[m], start[m + 1]), slice(edge_begin[m], edge_begin[m + 1])
            first_source = start[m] + edge_begin[m]
            return Block(
                indptr[start[m] + m : start[m + 1] + m + 1],
                indices[edges],
                sources[first_source : first_source + num_sources[m]],
                degree[targets],
                None if weight is None else weight[edges],
                None if scale is None else scale[targets],
                None if loop is None else loop[targets],
            )

        return [block(m) for m in range(num_blocks)]


def _as_words(values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    return values.view(np.uint32).astype(dtype, copy=False)


def _as_floats(words: np.ndarray) -> np.ndarray:
    return words.astype(np.uint32, copy=False).view(np.float32)
