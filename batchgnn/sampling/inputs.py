"""Input rows of minibatches: own rows stay where they are mapped, remote rows are fetched once.

The distinct remote rows of a whole macrobatch travel in one round; a minibatch keeps an index.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.exchange import ArrayRows, RowExchange, RowSource, starts
from batchgnn.comm.grid import Comm
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.relabel import Table, place_rows, renumber_fetched
from batchgnn.kernels.requests import count_owners, post_requests
from batchgnn.kernels.rows import Rows
from batchgnn.nn.linear import dense
from batchgnn.sampling.row_cache import RowCache
from batchgnn.sampling.sampler import Tables
from batchgnn.store.own_shards import Beside, ById, Column, OwnShards


class Addressed(RowSource, Protocol):
    """A matrix with a row for each own vertex, whose rows have addresses: a `Column`."""

    def at(self, rows: np.ndarray, fetched: np.ndarray | None = None) -> Rows:
        """As `Column.at`."""


@dataclass
class InputRows:
    """Where the input rows of several lists of vertices are, and how the remote ones get here.

    rows          M arrays int64 (n_m,): row here, or -1 - (place among the fetched rows)
    scale         M arrays float32 (n_m,), GCN's norms, or None
    num_distinct  distinct vertices of all lists
    num_remote    those that are not here, and num_cached of them are copied here already
    exchange      fetches the distinct remote rows, in one round
    here          which vertices have a row here, and which row
    """

    rows: list[np.ndarray]
    scale: list[np.ndarray] | None
    num_distinct: int
    num_remote: int
    num_cached: int
    exchange: RowExchange
    here: Ownership

    def over(self, comm: Comm) -> "InputRows":
        """The same, whose remote rows travel on another communicator of the same ranks."""
        return replace(self, exchange=self.exchange.over(comm))

    def fetch(self, source: Addressed | ArrayRows) -> "Inputs":
        """The rows of all lists, of a matrix with a row for each vertex here; collective."""
        width = (self.exchange.num_received, source.width)
        fetched = buffers.empty(width, source.dtype)
        self.exchange.forward(ById(source, self.here), fetched)
        column = Column([source.array]) if isinstance(source, ArrayRows) else source
        return Inputs([column.at(rows, fetched) for rows in self.rows], column, fetched)

    def fetch_beside(self, left: Column, right: Column) -> tuple["Inputs", "Inputs"]:
        """As `fetch`, of two matrices of one dtype whose rows travel side by side; collective."""
        both = Beside(left, right)
        fetched = buffers.empty((self.exchange.num_received, both.width), both.dtype)
        self.exchange.forward(ById(both, self.here), fetched)
        halves = (left, fetched[:, : left.width]), (right, fetched[:, left.width :])
        first, second = (
            Inputs([column.at(rows, half) for rows in self.rows], column, fetched)
            for column, half in halves
        )
        return first, second


@dataclass
class Inputs:
    """Rows of several lists of vertices, and what holds their memory: own shards, fetched rows."""

    rows: list[Rows]
    source: Addressed
    fetched: np.ndarray


class InputPlanner:
    """Plans the fetching of input rows of lists of vertices, for all ranks of `comm` together."""

    def __init__(
        self,
        comm: Comm,
        own: OwnShards,
        *,
        gcn: bool,
        here: Ownership | None = None,
        cache: RowCache | None = None,
        norms: np.ndarray | None = None,
    ):
        """gcn: also the norms. here: vertices whose rows this rank reads without messages are its
        own there; by default its own ones. cache: copies of remote rows, of "norm" too with gcn;
        fetch from its columns then. norms: those of all vertices, where this node has them.
        """
        self.comm, self.own, self.gcn, self.cache, self.norms = comm, own, gcn, cache, norms
        self.here = own.ownership if here is None else here
        self.num_here = self.here.num_own(own.rank)
        own_norm = Column([own.gcn_scale[:, None]])
        self.norm = own_norm if cache is None else cache.columns.get("norm", own_norm)
        self.tables = Tables(own.ids.dtype, int(own.ownership.offset[-1]), 1)

    def plan(self, lists: list[np.ndarray]) -> InputRows:
        """Where the rows of M lists of global ids will be, each without repeats; collective."""
        rows, remote, num_here, num_cached = self._place(lists)
        wanted, counts, place = self._by_owner(remote)
        for each in rows:
            renumber_fetched(each, place)
        exchange = RowExchange(self.comm, wanted, counts, "input rows")
        num_remote = num_cached + len(remote)
        num_distinct = num_here + num_remote
        inputs = InputRows(rows, None, num_distinct, num_remote, num_cached, exchange, self.here)
        if self.norms is not None:
            inputs.scale = [self.norms[ids] for ids in lists]
        elif self.gcn:
            norms = inputs.fetch(self.norm)
            inputs.scale = [dense(each)[:, 0] for each in norms.rows]
        return inputs

    def _place(self, lists: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray, int, int]:
        """Rows here, or places in the list of distinct remote ids; that list; how many rows are
        here, and how many copies, that some list has.
        """
        own = self.own
        total = sum(map(len, lists))
        self.tables.reserve(total)
        idents, marks, stamp = self.tables.stamped(1)
        table = Table(idents[0], marks[0], stamp)
        remote, num_remote = np.empty(total, own.ids.dtype), 0
        num_copies = 0 if self.cache is None else self.cache.num_rows
        touched = np.zeros(self.num_here + num_copies, np.uint8)
        rows = []
        for ids in lists:
            place = buffers.empty(len(ids), np.int64)
            owner, local_row = self.here.owner(ids), self.here.local_rows(ids)
            if self.cache is not None:
                self.cache.redirect(ids, owner, local_row)
            asked = (ids, owner, local_row, own.rank)
            num_remote = place_rows(*asked, table, remote, num_remote, place, touched)
            rows.append(place)
        num_here, num_cached = (
            int(np.count_nonzero(part)) for part in np.split(touched, [self.num_here])
        )
        return rows, remote[:num_remote], num_here, num_cached

    def _by_owner(self, remote: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`remote` grouped by owner, how many each owns, and where each went."""
        owner = self.own.ownership.owner(remote)
        counts = np.empty(self.comm.size, np.int64)
        count_owners(owner, counts)
        wanted, place = np.empty_like(remote), np.empty(len(remote), np.int64)
        post_requests(remote, owner, starts(counts)[:-1], wanted, place)
        return wanted, counts, place
