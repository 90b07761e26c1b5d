"""Distributed neighbour sampling: one hop of M minibatches in one round of requests and replies.

A vertex is sampled by the rank that owns it. The draw depends on (run seed, epoch, step, hop,
vertex) alone, so that the blocks are those that one rank would make.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import exchange_counts, exchange_parts, starts
from batchgnn.graph.block import Block
from batchgnn.kernels.relabel import add_distinct, relabel_rows
from batchgnn.kernels.requests import copy_segments, count_owners, post_requests, read_replies
from batchgnn.kernels.sample import draw_neighbors, locate
from batchgnn.store.own_shards import OwnShards

ALL = -1
"The fanout that keeps every neighbour."


@dataclass
class Drawn:
    """In-edges drawn for n requested vertices, one vertex after the other.

    count, degree  int64 (n,)      edges drawn, and all there are
    neighbors      ids' dtype      (sum of count,)
    weight         float32 (sum of count,) or None
    scale          float32 (n,) or None     GCN's norm of the requested vertices
    """

    count: np.ndarray
    degree: np.ndarray
    neighbors: np.ndarray
    weight: np.ndarray | None
    scale: np.ndarray | None


class Table:
    """Scratch of the relabelling: a hash table that grows and is used again."""

    def __init__(self, dtype):
        self.ids, self.rows = np.empty(0, dtype), np.empty(0, np.int32)

    def reserve(self, entries: int) -> None:
        """Room for `entries` ids at a load of at most one half."""
        if 2 * entries > len(self.ids):
            size = 1 << max(4, int(2 * entries - 1).bit_length())
            self.ids, self.rows = np.empty(size, self.ids.dtype), np.empty(size, np.int32)


class Sampler:
    """Draws the in-edges of any vertices, for all ranks of `comm` together."""

    def __init__(self, comm, own: OwnShards, *, gcn: bool):
        """gcn: blocks carry edge weights and the norm of every vertex."""
        self.comm, self.own, self.gcn = comm, own, gcn
        self.in_weight = own.in_weight if gcn else None
        self.weighted = self.in_weight is not None
        self.table = Table(own.ids.dtype)

    def hop(self, frontiers: list[np.ndarray], keys: np.ndarray, fanout: int) -> list[Block]:
        """The blocks of one hop; collective.

        frontiers: M arrays of distinct global ids, the targets; keys: uint64 (M,), stream keys
        """
        requests, owner_counts, wanted = self._post(frontiers)
        drawn = self._ask(wanted, owner_counts, keys, fanout)
        edge_start = starts(drawn.count)
        return [
            self._block(ids, request, drawn, edge_start)
            for ids, request in zip(frontiers, requests, strict=True)
        ]

    def own_block(self, ids: np.ndarray) -> Block:
        """All in-edges of own vertices; no communication."""
        drawn = self._draw(ids, np.zeros(len(ids), np.uint64), ALL)
        return self._block(ids, np.arange(len(ids)), drawn, starts(drawn.count))

    def _post(self, frontiers):
        """Requests grouped by owner, then by minibatch, and where each frontier's went."""
        counts = np.empty((len(frontiers), self.comm.size), np.int64)
        owners = [self.own.ownership.owner(ids) for ids in frontiers]
        for owner, row in zip(owners, counts, strict=True):
            count_owners(owner, row)
        counts = np.ascontiguousarray(counts.T)
        begin = starts(counts.ravel())[:-1].reshape(counts.shape)
        wanted = np.empty(counts.sum(), self.own.ids.dtype)
        requests = []
        for m, (ids, owner) in enumerate(zip(frontiers, owners, strict=True)):
            request = np.empty(len(ids), np.int64)
            post_requests(ids, owner, begin[:, m].copy(), wanted, request)
            requests.append(request)
        return requests, counts, wanted

    def _ask(self, wanted, counts, keys, fanout) -> Drawn:
        """Send the requests to their owners, serve those of the others, collect the replies."""
        if self.comm.size == 1:
            return self._draw(wanted, np.repeat(keys, counts[0]), fanout)
        asked_counts = exchange_counts(self.comm, counts, "sample requests")
        asked = np.empty(asked_counts.sum(), wanted.dtype)
        per_owner, per_asker = counts.sum(axis=1), asked_counts.sum(axis=1)
        exchange_parts(self.comm, wanted, per_owner, asked, per_asker, "sample requests")
        asked_keys = np.repeat(np.tile(keys, self.comm.size), asked_counts.ravel())
        drawn = self._draw(asked, asked_keys, fanout)

        replies, words = self._pack(drawn, per_asker)
        words_back = exchange_counts(self.comm, words, "sample replies")
        back = np.empty(words_back.sum(), replies.dtype)
        exchange_parts(self.comm, replies, words, back, words_back, "sample replies")
        return self._unpack(back, words_back, per_owner)

    def _draw(self, ids, keys, fanout) -> Drawn:
        own = self.own
        rows = own.ownership.local_rows(ids)
        begin, degree, count = (np.empty(len(ids), np.int64) for _ in range(3))
        locate(rows, own.first_row, own.in_indptr.address, fanout, begin, degree, count)
        neighbors = np.empty(count.sum(), ids.dtype)
        position = np.empty(len(neighbors) if self.weighted else 0, np.int64)
        scratch = np.empty(count.max(initial=0), np.int64)
        draw_neighbors(
            keys,
            ids,
            rows,
            own.first_row,
            own.in_indices.address,
            begin,
            degree,
            count,
            scratch,
            neighbors,
            position,
        )
        weight = None
        if self.in_weight is not None:
            shard_first = self.in_weight.first_row[own.shard_of_row(rows)]
            weight = self.in_weight.values(position + np.repeat(shard_first, count))
        return Drawn(count, degree, neighbors, weight, own.gcn_scale[rows] if self.gcn else None)

    def _pack(self, drawn: Drawn, per_asker) -> tuple[np.ndarray, np.ndarray]:
        """One message a rank, in words of the id dtype: counts, degrees, norms, ids, weights."""
        dtype = drawn.neighbors.dtype
        by_row = [drawn.count.astype(dtype), drawn.degree.astype(dtype)]
        by_edge = [drawn.neighbors]
        if drawn.scale is not None:
            by_row.append(_as_words(drawn.scale, dtype))
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

    def _unpack(self, back, words, per_owner) -> Drawn:
        """The replies of all owners in the order of the requests; inverse of `_pack`."""
        num_by_row, num_by_edge = 2 + self.gcn, 1 + self.weighted
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
        )

    def _block(self, ids, request, drawn: Drawn, edge_start) -> Block:
        """The block of one minibatch out of the replies to all."""
        n = len(ids)
        indptr, degree = np.empty(n + 1, np.int64), np.empty(n, np.int64)
        read_replies(request, drawn.count, drawn.degree, indptr, degree)
        num_edges = int(indptr[-1])
        self.table.reserve(n + num_edges)
        sources = np.empty(n + num_edges, ids.dtype)
        sources[:n] = ids
        add_distinct(sources, n, self.table.ids, self.table.rows)
        indices = np.empty(num_edges, np.int32)
        num_sources = relabel_rows(
            request,
            edge_start,
            drawn.neighbors,
            self.table.ids,
            self.table.rows,
            sources,
            n,
            indptr,
            indices,
        )
        weight = None
        if drawn.weight is not None:
            weight = np.empty(num_edges, np.float32)
            copy_segments(request, edge_start, drawn.weight, indptr, weight)
        scale = None if drawn.scale is None else drawn.scale[request]
        return Block(indptr, indices, sources[:num_sources].copy(), degree, weight, scale)


def _as_words(values: np.ndarray, dtype) -> np.ndarray:
    return values.view(np.uint32).astype(dtype, copy=False)


def _as_floats(words: np.ndarray) -> np.ndarray:
    return words.astype(np.uint32, copy=False).view(np.float32)
