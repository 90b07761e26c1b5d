"""The rows of a step's roots, out of those of all vertices, and their gradients on the way back."""

from typing import Protocol

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.rows_by_id import RowsById
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.share import Share
from batchgnn.tasks.kinds import TASKS
from batchgnn.tasks.task import Roots


class RootRows(Protocol):
    """The roots of this rank's seeds; methods are collective where roots are other ranks'."""

    roots: Roots

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(roots, d), of rows (num_own, d)."""

    def put(self, drows: np.ndarray, num_own: int) -> np.ndarray:
        """(num_own, d): the gradient by own rows, of that by the roots'."""


class OwnRoots:
    """Roots that this rank owns, the same in every step."""

    def __init__(self, share: Share, roots: Roots):
        self.roots, self.rows = roots, share.own.ownership.local_rows(roots.ids)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """As `RootRows.take`."""
        return rows[self.rows]

    def put(self, drows: np.ndarray, num_own: int) -> np.ndarray:
        """As `RootRows.put`."""
        out = buffers.empty((num_own, drows.shape[1]), drows.dtype)
        out[...] = 0
        out[self.rows] = drows
        return out


class FarRoots:
    """Roots wherever they live, of one step; planned in two rounds of messages."""

    def __init__(self, share: Share, roots: Roots):
        self.roots = roots
        self.exchange = RowsById(share.grid.world, share.own.ownership, roots.ids, "root rows")

    def take(self, rows: np.ndarray) -> np.ndarray:
        """As `RootRows.take`."""
        return self.exchange.fetch(rows)

    def put(self, drows: np.ndarray, num_own: int) -> np.ndarray:
        """As `RootRows.put`."""
        return self.exchange.send_home(drows, num_own)


class StepRoots:
    """The roots of every step over all seeds of this rank."""

    def __init__(self, share: Share):
        seeds = share.task.seeds(share.own, share.split_index)
        self.share, self.seeds, self.total = share, np.concatenate(seeds.own), seeds.total
        self.fixed: RootRows | None = None
        if not TASKS[share.settings[Chosen].task or ""].far_roots:
            self.fixed = OwnRoots(share, share.task.roots(share.own, self.seeds))

    def at(self, epoch: int) -> RootRows:
        """Those of an epoch's one step; collective."""
        if self.fixed is not None:
            return self.fixed
        return FarRoots(self.share, self.share.task.roots(self.share.own, self.seeds, epoch))
