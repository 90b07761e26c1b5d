"""How ranks share a stream: slices of each batch, and copies that walk it from other places.

Rank (c j + q) i + a is slice a of slot q of copy c. The slices of a slot train on one batch
together: each computes the memories of its own events. The ranks of a copy have one memory of each
vertex together; its slots take turns with them (`schedule.py`). Copies share nothing but the
parameters. arXiv:2307.07649, section 3.2.
"""

import numpy as np

from batchgnn.comm.grid import Grid
from batchgnn.modes.temporal.states import VertexStates


class Ways:
    """`slices` ranks a slot, `ahead` slots a copy, `copies`; this rank's `part`, `slot`, `copy`."""

    def __init__(self, grid: Grid, slices: int, ahead: int = 1, copies: int = 1):
        """Of slices x ahead x copies ranks; collective."""
        self.slices, self.ahead, self.copies = slices, ahead, copies
        slot, self.part = divmod(grid.rank, slices)
        self.copy, self.slot = divmod(slot, ahead)
        self.comm = grid.world if copies == 1 else grid.some(self.copy).world

    @property
    def numbers(self) -> list[int]:
        """As on the command line."""
        return [self.slices, self.ahead, self.copies]

    def bounds(self, first: int, last: int) -> np.ndarray:
        """int64 (slices + 1,): where the slices of the events first .. last - 1 begin and end."""
        return first + (last - first) * np.arange(self.slices + 1) // self.slices

    def mine(self, first: int, last: int) -> tuple[int, int]:
        """This rank's slice."""
        bounds = self.bounds(first, last)
        return int(bounds[self.part]), int(bounds[self.part + 1])

    def tell(
        self,
        states: VertexStates,
        first: int,
        last: int,
        now: np.ndarray,
        root_row: np.ndarray,
        slot: int = 0,
    ) -> None:
        """Tell memories of a batch, whose slices have the states; collective over the copy.

        slot: the one that has them; the others' now and root_row are not looked at
        now       float (n, d)   states of this slice's members
        root_row  int32 (at least 2 b,)  rows of its sources, then its targets
        """
        size, bounds = last - first, self.bounds(first, last)
        update = states.tell(first, last)
        event = first + update.own % max(size, 1)
        part = np.searchsorted(bounds, event, side="right") - 1
        order = np.argsort(part, kind="stable")
        counts = np.zeros(self.slices * self.ahead, np.int64)
        counts[slot * self.slices :][: self.slices] = np.bincount(part, minlength=self.slices)
        chosen = order[part[order] == self.part][: len(order) * (slot == self.slot)]
        low, count = bounds[self.part], bounds[self.part + 1] - bounds[self.part]
        rows = [
            now[root_row[roots[chosen] // max(size, 1) * count + event[chosen] - low]]
            for roots in (update.own, update.other)
        ]
        states.rows.write(update.vertex[order], counts, np.concatenate(rows, axis=1))
