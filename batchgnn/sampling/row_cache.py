"""Copies of the remote rows that a rank will need most, made once before training. Exact.

The owners rank their vertices for every other rank by the probability of being among its input
rows (`sampling.reach`). A copy is a row like an own one: it is numbered behind the own rows.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import (
    ArrayRows,
    RowExchange,
    allreduce_max,
    allreduce_sum,
    exchange_counts,
    exchange_parts,
    starts,
)
from batchgnn.comm.grid import Comm
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.row_cache import enter_rows, redirect_rows
from batchgnn.sampling.reach import Reach
from batchgnn.store.own_shards import ById, Column, OwnShards

SCRATCH_BYTES = 256 << 20
"Memory for the scores of several ranks' samplers at once."
MOST_RANKS = 16
"So many scores of a vertex fill a cache line."
CHUNK_BYTES = 32 << 20
"Rows that a rank sends at once while the copies are made, at most."
TABLE_SLOTS = 4
"Places of the hash table for a row, at most."
BIN_SHIFT, NUM_BINS = np.uint32(19), 4096
"Scores are counted by sign, exponent and four bits of the mantissa of a float32."


class RowCache:
    """A rank's copies of some remote rows, of one or more matrices with a row for each vertex.

    columns  by the name of each matrix: its rows here, then the copies
    num_rows copies of each matrix
    """

    def __init__(
        self,
        comm: Comm,
        own: OwnShards,
        here: Ownership,
        sources: Mapping[str, Column | ArrayRows],
        ids: np.ndarray,
    ):
        """Fetch the rows of the remote vertices `ids` (distinct); collective.

        here: which vertices have a row in `sources` on this rank, and which row
        """
        self.rank, self.num_here, self.num_rows = own.rank, here.num_own(own.rank), len(ids)
        row_bytes = sum(source.width * source.dtype.itemsize for source in sources.values())
        chunks = _chunks(comm, own, ids, max(1, CHUNK_BYTES // max(1, row_bytes * comm.size)))
        copies = {
            name: np.empty((len(ids), source.width), source.dtype)
            for name, source in sources.items()
        }
        held, end = np.empty(len(ids), own.ids.dtype), 0
        for wanted, counts in chunks:
            begin, end = end, end + len(wanted)
            held[begin:end] = wanted
            exchange = RowExchange(comm, wanted, counts, "cached rows")
            for name, source in sources.items():
                exchange.forward(ById(source, here), copies[name][begin:end])
        self.columns = {name: _extended(sources[name], copies[name]) for name in sources}
        size = 1 << int(max(1, 2 * len(ids) - 1)).bit_length()
        self.table_id, self.table_row = np.empty(size, held.dtype), np.empty(size, np.int32)
        enter_rows(held, self.table_id, self.table_row)

    def redirect(self, ids: np.ndarray, owner: np.ndarray, local_row: np.ndarray) -> None:
        """Where there is a copy, the owner becomes this rank and the row that of `columns`.

        ids (n,); owner int32 (n,) and local_row int64 (n,) are changed in place.
        """
        table = (self.table_id, self.table_row)
        redirect_rows(ids, owner, local_row, self.rank, self.num_here, *table)


def cached_rows(
    comm: Comm,
    own: OwnShards,
    here: Ownership,
    sources: Mapping[str, Column | ArrayRows],
    start: np.ndarray,
    fanouts: Sequence[int],
    capacity: int,
) -> RowCache:
    """At most `capacity` copies of the rows that this rank will need most; collective.

    start: (num_own,), the probability that each own vertex is a seed of this rank's
    here, sources: as for `RowCache`
    fanouts: hops from the seeds to the rows of `sources`
    """
    ids = best_remote(comm, own, here, start, fanouts, capacity)
    return RowCache(comm, own, here, sources, ids)


def best_remote(
    comm: Comm,
    own: OwnShards,
    here: Ownership,
    start: np.ndarray,
    fanouts: Sequence[int],
    capacity: int,
) -> np.ndarray:
    """Ids that are not here, most likely first, at most `capacity`, none that cannot be reached.

    Collective.
    """
    reach = Reach(comm, own)
    near = own.ownership.rank_of_shard[here.own_shards(own.rank)]
    column_bytes = allreduce_max(comm, reach.column_bytes, "reach bytes")
    width = max(1, min(MOST_RANKS, comm.size, SCRATCH_BYTES // max(1, column_bytes)))
    found = np.empty(0, own.ids.dtype)
    for first in range(0, comm.size, width):
        ranks = range(first, min(first + width, comm.size))
        columns = np.zeros((own.num_own, len(ranks)), np.float32)
        if own.rank in ranks:
            columns[:, own.rank - first] = start
        scores = reach.scores(columns, fanouts)
        scores[:, np.isin(ranks, near)] = 0  # who reads the own rows here needs no copies
        ids, score = _offer(comm, own, scores, ranks, capacity)
        if own.rank in ranks:
            found = ids[np.lexsort((ids, -score))[:capacity]]
    return found


def capacity_of(budget: int, row_bytes: int, id_bytes: int) -> int:
    """Rows that fit into `budget` bytes, with their places in a hash table at its emptiest.

    Raises ConfigError when none does.
    """
    each = row_bytes + TABLE_SLOTS * (id_bytes + 4)
    if budget < each:
        raise ConfigError(
            f"--feature-cache {format_bytes(budget)} holds no row: one takes {each} bytes here. "
            "Give more, or leave it out."
        )
    return budget // each


def _offer(
    comm: Comm, own: OwnShards, scores: np.ndarray, ranks: range, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Send each of `ranks` the ids and scores of its best own rows here; what this rank got."""
    least = _least_bins(comm, scores, capacity)
    counts = np.zeros(comm.size, np.int64)
    picked = []
    for c, rank in enumerate(ranks):
        score = scores[:, c].copy()
        rows = np.flatnonzero((score > 0) & (_bins(score) >= least[c]))
        if len(rows) > capacity:
            rows = rows[np.lexsort((own.ids[rows], -score[rows]))[:capacity]]
        counts[rank] = len(rows)
        picked.append((own.ids[rows], score[rows]))
    received = exchange_counts(comm, counts, "cached ids")
    ids = np.empty(received.sum(), own.ids.dtype)
    score = np.empty(len(ids), np.float32)
    for k, out in enumerate((ids, score)):
        part = np.concatenate([pair[k] for pair in picked])
        exchange_parts(comm, part, counts, out, received, "cached ids")
    return ids, score


def _least_bins(comm: Comm, scores: np.ndarray, capacity: int) -> np.ndarray:
    """For each column, the bin from which on there are `capacity` rows over all ranks; or 0.

    It keeps the lists short that a rank gets from many others.
    """
    counts = np.zeros((scores.shape[1], NUM_BINS), np.int64)
    for c, row in enumerate(counts):
        score = scores[:, c].copy()
        row[:] = np.bincount(_bins(score[score > 0]), minlength=NUM_BINS)
    allreduce_sum(comm, counts, "cached scores")
    from_top = np.cumsum(counts[:, ::-1], axis=1) >= capacity
    return np.where(from_top.any(axis=1), NUM_BINS - 1 - from_top.argmax(axis=1), 0)


def _bins(scores: np.ndarray) -> np.ndarray:
    """Bits of positive float32 ascend as the numbers do."""
    return scores.view(np.uint32) >> BIN_SHIFT


def _chunks(
    comm: Comm, own: OwnShards, ids: np.ndarray, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids by owner and how many each owns: about `rows` at a time, as often on every rank."""
    owner = own.ownership.owner(ids)
    ids = ids[np.lexsort((ids, owner))]
    begin = starts(np.bincount(owner, minlength=comm.size))
    num_chunks = allreduce_max(comm, -(-len(ids) // rows), "cached chunks")
    each = np.diff(begin)
    for k in range(num_chunks):
        first, last = each * k // num_chunks, each * (k + 1) // num_chunks
        parts = [ids[b + i : b + j] for b, i, j in zip(begin[:-1], first, last, strict=True)]
        yield np.concatenate(parts), last - first


def _extended(source: Column | ArrayRows, copies: np.ndarray) -> Column:
    """The rows of `source`, then the copies."""
    parts = [source.array] if isinstance(source, ArrayRows) else source.parts
    return Column([*parts, copies])
