"""Who owns a vertex, by trying each shard."""

import numpy as np


def shards_of(ids, offset, out):
    for i, ident in enumerate(ids):
        out[i] = next(s for s in range(len(offset) - 1) if offset[s] <= ident < offset[s + 1])


def owners_of(ids, offset, rank_of_shard, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = rank_of_shard[shard]


def local_rows_of(ids, offset, base, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = base[shard] + ids.astype(np.int64) - offset[shard]
