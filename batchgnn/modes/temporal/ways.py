"""How ranks share a stream: slices of each batch, and copies that walk it from other places.

Rank c i + a is slice a of copy c. The slices of a copy train on one batch together and hold the
same memories: each computes those of its own events, and all keep what all have computed. Copies
share nothing but the parameters. arXiv:2307.07649, section 3.2.
"""

import numpy as np

from batchgnn.comm.exchange import gather_rows
from batchgnn.comm.grid import Grid
from batchgnn.modes.temporal.states import VertexStates


class Ways:
    """This rank's place: `slices` ranks a copy, `copies`, and its numbers `part` and `copy`."""

    def __init__(self, grid: Grid, slices: int, copies: int):
        """Of slices x copies ranks; collective."""
        self.slices, self.copies = slices, copies
        self.copy, self.part = divmod(grid.rank, slices)
        self.comm = grid.world if copies == 1 else grid.some(self.copy).world

    @property
    def numbers(self) -> list[int]:
        """As on the command line."""
        return [self.slices, 1, self.copies]

    def bounds(self, first: int, last: int) -> np.ndarray:
        """int64 (slices + 1,): where the slices of the events first .. last - 1 begin and end."""
        return first + (last - first) * np.arange(self.slices + 1) // self.slices

    def mine(self, first: int, last: int) -> tuple[int, int]:
        """This rank's slice."""
        bounds = self.bounds(first, last)
        return int(bounds[self.part]), int(bounds[self.part + 1])

    def batch(self, step: int, num_batches: int, copy: int) -> int:
        """The batch of a copy in a step of an epoch: each begins elsewhere, and wraps."""
        return (copy * num_batches // self.copies + step) % num_batches

    def tell(
        self, states: VertexStates, first: int, last: int, now: np.ndarray, root_row: np.ndarray
    ) -> None:
        """Tell memories of a batch, whose slices have the states; collective over the copy.

        now       float (n, d)   states of this slice's members
        root_row  int32 (at least 2 b,)  rows of its sources, then its targets
        """
        size, bounds = last - first, self.bounds(first, last)
        update = states.tell(first, last)
        event = first + update.own % max(size, 1)
        part = np.searchsorted(bounds, event, side="right") - 1
        order = np.argsort(part, kind="stable")
        counts = np.bincount(part, minlength=self.slices)
        chosen = order[part[order] == self.part]
        low, count = bounds[self.part], bounds[self.part + 1] - bounds[self.part]
        rows = [
            now[root_row[roots[chosen] // max(size, 1) * count + event[chosen] - low]]
            for roots in (update.own, update.other)
        ]
        kept = gather_rows(self.comm, np.concatenate(rows, axis=1), counts, "memories")
        vertex, width = update.vertex[order], now.shape[1]
        states.memory[vertex], states.other[vertex] = kept[:, :width], kept[:, width:]
