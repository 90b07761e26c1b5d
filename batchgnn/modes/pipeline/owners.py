"""Rows of all vertices in a stage, to the ranks that own the vertices, and back."""

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.comm.exchange import exchange_parts
from batchgnn.comm.grid import Comm
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.pipeline.layout import Layout

NAME = "rows of owners"


class Owners:
    """Which vertices each rank owns, and which it has in its stage; every method is collective.

    Rows are in the order of ids, on an owner too.
    """

    def __init__(self, comm: Comm, ownership: Ownership, layout: Layout):
        self.comm, self.layout = comm, layout
        of_ways, way = layout.ownership, comm.rank % layout.ways
        owner = ownership.owner(of_ways.own_ids(way))
        self.grouped = np.argsort(owner, kind="stable")
        "Rows of this rank's way, grouped by owner."
        self.by_owner = np.bincount(owner, minlength=comm.size)
        mine = of_ways.owner(ownership.own_ids(comm.rank))
        self.by_way = np.bincount(mine, minlength=layout.ways)

    def deal(self, stage: int, rows: np.ndarray | None, width: int, dtype: DTypeLike) -> np.ndarray:
        """(num_own, width) each, of what the ways of a stage have: (n, width), None elsewhere."""
        sent, received = self._counts(stage)
        grouped = np.empty((0, width), dtype) if rows is None else rows[self.grouped]
        out = np.empty((int(received.sum()), width), dtype)
        exchange_parts(self.comm, grouped, sent, out, received, NAME)
        return out

    def collect(self, stage: int, rows: np.ndarray) -> np.ndarray | None:
        """(n, width) at the ways of a stage, None elsewhere; rows (num_own, width) are one's own.

        n: vertices of the way
        """
        received, sent = self._counts(stage)
        grouped = np.empty((int(received.sum()), *rows.shape[1:]), rows.dtype)
        exchange_parts(self.comm, np.ascontiguousarray(rows), sent, grouped, received, NAME)
        if self.comm.rank not in self.layout.ranks_of(stage):
            return None
        out = np.empty_like(grouped)
        out[self.grouped] = grouped
        return out

    def _counts(self, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """int64 (P,): rows of the stage here by owner; own rows by the rank of their way there."""
        ranks, nobody = self.layout.ranks_of(stage), np.zeros(self.comm.size, np.int64)
        own = nobody.copy()
        own[ranks.start : ranks.stop] = self.by_way
        return (self.by_owner if self.comm.rank in ranks else nobody), own
