"""Which rank holds a vertex, and in which of its rows.

Shard s holds the ids offset[s] : offset[s + 1]; a rank holds whole shards. Its vertices are
numbered shard after shard, in ascending shard order: that number is the vertex's local row.
"""

from dataclasses import dataclass, field

import numpy as np

from batchgnn.kernels.ownership import local_rows_of, owners_of, shards_of


@dataclass(frozen=True, eq=False)
class Ownership:
    """Shards on ranks.

    offset         int64 (K + 1,)  first id of each shard, then the number of vertices
    rank_of_shard  int32 (K,)
    base           int64 (K,)      local row of each shard's first vertex, at its rank; derived
    """

    offset: np.ndarray
    rank_of_shard: np.ndarray
    base: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Bring the arrays to their dtypes and derive `base`."""
        offset = np.ascontiguousarray(self.offset, np.int64)
        ranks = np.ascontiguousarray(self.rank_of_shard, np.int32)
        if len(offset) != len(ranks) + 1:
            raise ValueError(f"{len(offset)} offsets for {len(ranks)} shards: needed one more")
        base = np.empty(len(ranks), np.int64)
        for rank in np.unique(ranks):
            mine = np.flatnonzero(ranks == rank)
            sizes = offset[mine + 1] - offset[mine]
            base[mine] = np.cumsum(sizes) - sizes
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "rank_of_shard", ranks)
        object.__setattr__(self, "base", base)

    @property
    def num_shards(self) -> int:
        """Shards over all ranks, K."""
        return len(self.rank_of_shard)

    @property
    def num_vertices(self) -> int:
        """Vertices over all shards."""
        return int(self.offset[-1])

    def shard_of(self, ids: np.ndarray) -> np.ndarray:
        """int32 (n,): the shard of each id; ids are below `num_vertices`."""
        out = np.empty(len(ids), np.int32)
        shards_of(ids, self.offset, out)
        return out

    def owner(self, ids: np.ndarray) -> np.ndarray:
        """int32 (n,): the rank that holds each id."""
        out = np.empty(len(ids), np.int32)
        owners_of(ids, self.offset, self.rank_of_shard, out)
        return out

    def local_rows(self, ids: np.ndarray) -> np.ndarray:
        """int64 (n,): the row of each id at the rank that holds it."""
        out = np.empty(len(ids), np.int64)
        local_rows_of(ids, self.offset, self.base, out)
        return out

    def own_shards(self, rank: int) -> np.ndarray:
        """int64 (k,): the shards of `rank`, ascending."""
        return np.flatnonzero(self.rank_of_shard == rank)

    def num_own(self, rank: int) -> int:
        """Vertices that `rank` holds."""
        mine = self.own_shards(rank)
        return int((self.offset[mine + 1] - self.offset[mine]).sum())

    def own_ids(self, rank: int) -> np.ndarray:
        """int64 (num_own,): ids that `rank` holds, in the order of their local rows."""
        ranges = [np.arange(self.offset[s], self.offset[s + 1]) for s in self.own_shards(rank)]
        return np.concatenate(ranges) if ranges else np.empty(0, np.int64)
