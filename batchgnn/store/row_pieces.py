"""Consecutive rows of shards, each as if it were a shard: what a rank of `mode tensor` owns."""

from dataclasses import replace

import numpy as np

from batchgnn.graph.cut_rows import RowCut
from batchgnn.store.shard_store import Shard, ShardStore

PER_VERTEX = (
    "original_id", "features", "label", "split", "degree_in", "degree_out", "name", "weighted_in",
)  # fmt: skip


class RowPieces(ShardStore):
    """A shard store whose `shard(p)` is piece p of a `RowCut`; the manifest is that of the store.

    `in_indptr` of a piece does not begin with 0, and its `in_indices` are those of the whole shard.
    """

    def __init__(self, store: ShardStore, cut: RowCut):
        """store: an open one; nothing is read."""
        self.path, self.manifest, self.whole, self.cut = store.path, store.manifest, store, cut

    def shard(self, s: int) -> Shard:
        """Map piece s. Raises StoreError as `ShardStore.shard`."""
        whole = self.whole.shard(int(self.cut.shard[s]))
        begin, end = int(self.cut.begin[s]), int(self.cut.end[s])
        arrays = {name: slice(begin, end) for name in PER_VERTEX}
        arrays |= {"in_indptr": slice(begin, end + 1), "out_indptr": slice(begin, end + 1)}
        cut = {
            name: getattr(whole, name)[rows]
            for name, rows in arrays.items()
            if getattr(whole, name) is not None
        }
        for name in ("link_val", "link_test"):
            if (held_out := getattr(whole, name)) is not None:
                first, last = np.searchsorted(
                    held_out[:, 0], whole.first_vertex + np.array([begin, end])
                )
                cut[name] = held_out[first:last]
        return replace(whole, first_vertex=whole.first_vertex + begin, **cut)
