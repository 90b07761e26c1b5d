"""The in-edges of a rank's shards as edges between rows: own rows, then remote sources by owner."""

import numpy as np

from batchgnn.graph.block import Block
from batchgnn.kernels.aggregate import place_sources
from batchgnn.kernels.reach import WORD, ShardEdges, mark_targets, marked_rows
from batchgnn.sampling.reach import marked_ids, rows_of
from batchgnn.store.own_shards import OwnShards


class InEdges:
    """Where the sources of own in-edges are.

    remote  int64 (h,)  ids of the distinct sources that other ranks own, by owner and ascending:
                        the first is row num_own
    counts  int64 (P,)  how many of them each rank owns
    """

    def __init__(self, own: OwnShards, num_ranks: int, todo: list[int] | None = None):
        """todo: which of the own shards (0, 1, ...) to look at, by default all."""
        self.own = own
        self.todo = list(range(len(own.shards))) if todo is None else todo
        self.first_id = own.ownership.offset[own.shards]
        seen = self._outside_sources()
        row_of, self.remote, self.counts = rows_of(own, marked_ids(seen), num_ranks)
        self._marked = marked_rows(seen, row_of)

    def rows(self, k: int, a: int = 0, b: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """indptr int64 and rows int32 of the sources of vertices a ... b - 1 of own shard k."""
        indptr = self.own.in_indptr.parts[k]
        indptr = indptr[a : len(indptr) if b is None else b + 1]
        ids = self.own.in_indices.parts[k][indptr[0] : indptr[-1]]
        rows = np.empty(len(ids), np.int32)
        first_row = self.own.first_row[k]
        num_rows = self.own.first_row[k + 1] - first_row
        place_sources(ids, self.first_id[k], first_row, num_rows, self._marked, rows)
        return indptr - indptr[0], rows

    def block(self, far_scale: np.ndarray | None = None) -> Block:
        """All of them as one block, whose targets are the own vertices.

        far_scale: GCN's norms of `remote`, float32 (h,)
        """
        own = self.own
        indptrs, rows = zip(*(self.rows(k) for k in self.todo), strict=True)
        starts = np.cumsum([0, *(len(each) for each in rows)])
        indptr = [np.zeros(1, np.int64)]
        indptr += [each[1:] + start for each, start in zip(indptrs, starts[:-1], strict=True)]
        weight = None if own.in_weight is None else np.concatenate(own.in_weight.parts)
        ids = np.concatenate([own.ids, self.remote.astype(own.ids.dtype)])
        scale = None if far_scale is None else np.concatenate([own.gcn_scale, far_scale])
        loop = None if scale is None else own.gcn_loop
        return Block(
            np.concatenate(indptr), np.concatenate(rows), ids, own.degree_in, weight, scale, loop
        )

    def _outside_sources(self) -> np.ndarray:
        """A bit for each vertex that is a source of an edge into another shard, one of these."""
        own, edges = self.own, self.own.in_indices
        seen = np.zeros(-(-own.ownership.num_vertices // WORD), np.uint64)
        for k in self.todo:
            one = slice(k, k + 1)
            first_row = np.array([0, len(own.in_indptr.parts[k]) - 1])
            address = own.in_indptr.address[one], edges.address[one]
            mark_targets(ShardEdges(first_row, *address, edges.like, self.first_id[one]), seen)
        return seen
