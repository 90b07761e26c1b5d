"""Input rows of minibatches: own rows stay where they are mapped, remote rows are fetched once.

The distinct remote rows of a whole macrobatch travel in one round; a minibatch keeps an index.
"""

from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import ArrayRows, RowExchange
from batchgnn.kernels.gather import gather_rows
from batchgnn.kernels.relabel import place_rows, renumber_fetched
from batchgnn.kernels.requests import count_owners
from batchgnn.modes.sampler import Table
from batchgnn.store.own_shards import ById, Column, OwnShards


@dataclass
class InputRows:
    """Rows of a matrix that is spread over the ranks, for several lists of vertices.

    rows     M arrays int64 (n_m,): own row, or -1 - (place in `fetched`)
    fetched  (h, d): the distinct remote rows
    scale    M arrays float32 (n_m,), GCN's norms, or None
    """

    rows: list[np.ndarray]
    fetched: np.ndarray
    scale: list[np.ndarray] | None
    num_distinct: int


class InputFetcher:
    """Fetches the input rows of lists of vertices, for all ranks of `comm` together."""

    def __init__(self, comm, own: OwnShards, *, gcn: bool):
        self.comm, self.own, self.gcn = comm, own, gcn
        self.table = Table(own.ids.dtype)

    def fetch(self, lists: list[np.ndarray], source: Column | ArrayRows) -> InputRows:
        """Rows of `source`, which holds a row for each own vertex; collective.

        lists: M arrays of global ids, the same vertex at most once in each
        """
        rows, remote, num_own = self._place(lists)
        wanted, counts, place = self._by_owner(remote)
        for each in rows:
            renumber_fetched(each, place)
        exchange = RowExchange(self.comm, wanted, counts, "input rows")
        fetched = exchange.forward(ById(source, self.own.ownership))
        scale = None
        if self.gcn:
            norm = ArrayRows(self.own.gcn_scale[:, None])
            far = exchange.forward(ById(norm, self.own.ownership))
            scale = [_scale_of(norm.array, far, each) for each in rows]
        return InputRows(rows, fetched, scale, num_own + len(remote))

    def _place(self, lists):
        """Own rows or places in the list of distinct remote ids; that list; how many own rows."""
        own = self.own
        total = sum(map(len, lists))
        self.table.reserve(total)
        self.table.rows[:] = -1
        remote, num_remote = np.empty(total, own.ids.dtype), 0
        touched = np.zeros(own.num_own, bool)
        rows = []
        for ids in lists:
            place = np.empty(len(ids), np.int64)
            num_remote = place_rows(
                ids,
                own.ownership.owner(ids),
                own.ownership.local_rows(ids),
                own.rank,
                self.table.ids,
                self.table.rows,
                remote,
                num_remote,
                place,
            )
            touched[place[place >= 0]] = True
            rows.append(place)
        return rows, remote[:num_remote], int(np.count_nonzero(touched))

    def _by_owner(self, remote):
        """`remote` grouped by owner, how many each owns, and where each went."""
        owner = self.own.ownership.owner(remote)
        counts = np.empty(self.comm.size, np.int64)
        count_owners(owner, counts)
        order = np.argsort(owner, kind="stable")
        place = np.empty(len(remote), np.int64)
        place[order] = np.arange(len(remote))
        return remote[order], counts, place


def read_rows(source: Column | ArrayRows, rows: np.ndarray, fetched, out: np.ndarray) -> None:
    """out[i] = own or fetched row rows[i], converted to out's dtype; (n, d)."""
    if isinstance(source, ArrayRows):
        source = Column([source.array])
    gather_rows(rows, source.first_row, source.address, source.like, fetched, out)


def _scale_of(own_scale, far, rows):
    out = np.empty((len(rows), 1), np.float32)
    read_rows(ArrayRows(own_scale), rows, far, out)
    return out[:, 0]
