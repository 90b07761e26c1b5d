"""A row for each vertex, which some ranks read and write together, by one of three stores.

A rank alone has an array; ranks of one host share a window; ranks of several hosts deal the rows
to owners, and send what others read and write. All give the same bits. Every method is collective
over the ranks, unless it says otherwise.
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import ArrayRows, RowExchange, exchange_parts, starts
from batchgnn.comm.grid import Comm, Grid
from batchgnn.comm.mpi import MPI
from batchgnn.comm.shared import Layout, has_room, layout_bytes, require_room
from batchgnn.comm.values import values_of_all
from batchgnn.watch import trace

Where = Literal["auto", "shared", "dealt"]


class VertexRows(Protocol):
    """Rows (N, width) of zeros at first; `comm` has the ranks that call, in one order."""

    comm: Comm

    def read(self, vertex: np.ndarray) -> np.ndarray:
        """Rows (n, width) of vertices int64 (n,), each rank's own; zeros of vertex -1."""

    def write(self, vertex: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> None:
        """Replace rows of distinct vertices; a read that was before sees none of it.

        vertex  int64 (k,), the same on all ranks, grouped by the rank that has the row
        counts  int64 (P,), how many each rank has
        rows    this rank's
        """

    def reset(self) -> None:
        """Zeros again."""


class OwnRows:
    """On one rank, in an array."""

    def __init__(self, num_vertices: int, width: int, dtype: DTypeLike):
        self.comm: Comm = MPI.COMM_SELF
        self.rows = np.zeros((num_vertices, width), dtype)

    def read(self, vertex: np.ndarray) -> np.ndarray:
        """As `VertexRows.read`."""
        return taken(self.rows, vertex)

    def write(self, vertex: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> None:
        """As `VertexRows.write`."""
        self.rows[vertex] = rows

    def reset(self) -> None:
        """As `VertexRows.reset`."""
        self.rows[:] = 0


class SharedRows:
    """On ranks of one host, in a window: no row travels; all wait before and after a write."""

    def __init__(self, grid: Grid, comm: Comm, num_vertices: int, width: int, dtype: DTypeLike):
        self.comm = comm
        layout: Layout = {"rows": (np.dtype(dtype), (num_vertices, width))}
        self._window = grid.share(layout, comm)
        self.rows = self._window.arrays["rows"]
        self.reset()

    def read(self, vertex: np.ndarray) -> np.ndarray:
        """As `VertexRows.read`; waits for nobody."""
        return taken(self.rows, vertex)

    def write(self, vertex: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> None:
        """As `VertexRows.write`."""
        self._settle()
        begin = int(counts[: self.comm.rank].sum())
        self.rows[vertex[begin : begin + len(rows)]] = rows
        self._settle()

    def reset(self) -> None:
        """As `VertexRows.reset`."""
        self._settle()
        part = -(-len(self.rows) // self.comm.size)
        self.rows[self.comm.rank * part :][:part] = 0
        self._settle()

    def _settle(self) -> None:
        with trace.collective("rows settled", self.comm.name, 0):
            self._window.settle()


class DealtRows:
    """On any ranks: rank v mod P has the row of vertex v, row v // P of its own."""

    def __init__(self, comm: Comm, num_vertices: int, width: int, dtype: DTypeLike):
        self.comm = comm
        num_own = len(range(comm.rank, num_vertices, comm.size))
        self.rows = np.zeros((num_own, width), dtype)

    def read(self, vertex: np.ndarray) -> np.ndarray:
        """As `VertexRows.read`: ids go to owners, and rows come back."""
        size = self.comm.size
        known = np.flatnonzero(vertex >= 0)
        owner = vertex[known] % size
        order = known[np.argsort(owner, kind="stable")]
        counts = np.bincount(owner, minlength=size)
        exchange = RowExchange(self.comm, vertex[order] // size, counts, "vertex rows")
        out = np.zeros((len(vertex), self.rows.shape[1]), self.rows.dtype)
        out[order] = exchange.forward(ArrayRows(self.rows))
        return out

    def write(self, vertex: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> None:
        """As `VertexRows.write`: rows go to owners, who know which ones come."""
        me, size = self.comm.rank, self.comm.size
        owner, start = vertex % size, starts(counts)
        mine = owner[start[me] : start[me + 1]]
        order = np.argsort(mine, kind="stable")
        coming = np.flatnonzero(owner == me)
        source = np.searchsorted(start, coming, side="right") - 1
        found = np.empty((len(coming), self.rows.shape[1]), self.rows.dtype)
        there = np.bincount(mine, minlength=size), np.bincount(source, minlength=size)
        exchange_parts(self.comm, rows[order], there[0], found, there[1], "vertex rows written")
        self.rows[vertex[coming] // size] = found

    def reset(self) -> None:
        """As `VertexRows.reset`; waits for nobody."""
        self.rows[:] = 0


def taken(rows: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """Rows of some vertices; zeros of vertex -1."""
    out = np.take(rows, vertex, axis=0) if len(rows) else np.zeros((len(vertex), rows.shape[1]))
    out[vertex < 0] = 0
    return out


def make_rows(
    grid: Grid, comm: Comm, num_vertices: int, width: int, dtype: DTypeLike, where: Where
) -> VertexRows:
    """Rows of `comm`; auto: shared where its ranks are on one host that has room, else dealt.

    Raises ConfigError, MemoryPlanError where they are to be shared and cannot; collective.
    """
    shape = num_vertices, width, dtype
    if comm.size == 1:
        return OwnRows(*shape)
    if where == "dealt":
        return DealtRows(comm, *shape)
    others = -(-grid.node_size // comm.size)  # that make theirs on this host at the same time
    num_bytes = others * layout_bytes({"rows": (np.dtype(dtype), (num_vertices, width))})
    here = {*grid.members[comm.name]} <= {*grid.members[grid.node.name]}
    if where == "shared" and not here:
        raise ConfigError(
            "--state-rows shared: ranks that share memories of vertices are on several hosts: "
            "take --state-rows dealt, or more copies (--ways)."
        )
    if where == "shared":
        require_room(num_bytes, grid.host, "Take --state-rows dealt")
    if not all(values_of_all(comm, here and has_room(num_bytes))):
        return DealtRows(comm, *shape)
    return SharedRows(grid, comm, *shape)
