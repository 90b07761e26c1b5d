"""How many minibatches are prepared together: as set, or as many as a budget of memory holds.

Losses do not depend on it: it decides rounds of messages, memory, and when the first step begins.
"""

import numpy as np

from batchgnn.comm.exchange import allreduce_max
from batchgnn.comm.grid import Comm

MOST = 16
"Minibatches of a macrobatch that is sized automatically: more save little, and wait for longer."
SLACK = 1.25
"How much larger than those measured a minibatch may be."
EDGE_BYTES = 32
"What a drawn edge takes in blocks and operators, source rows included; an upper bound."


def bytes_at_a_time(num_edges: float, fetched_bytes: float, overlap: bool) -> float:
    """What macrobatches hold, of which each draws and fetches so much.

    With overlap one is trained, one fetched, one drawn: blocks of three, and rows of two.
    """
    return num_edges * EDGE_BYTES * (1 + 2 * overlap) + fetched_bytes * (1 + overlap)


class MacrobatchSize:
    """Minibatches per macrobatch, the same on all ranks.

    With a number, always that. With "auto" the first macrobatch is one minibatch, which is
    measured; then as many as the budget of every rank holds, MOST at most, grow over an epoch as
    1, 2, 4, ...: so that training begins soon and is as long as the preparation that it hides.
    """

    def __init__(self, setting: int | str, budget: int, *, overlap: bool):
        """budget: bytes of this rank for all macrobatches that exist at a time."""
        self.is_fixed = setting != "auto"
        self.value = int(setting) if self.is_fixed else 1
        self.budget, self.overlap = budget, overlap
        self._measured: dict[int, int] = {}

    def groups(self, first: int, end: int) -> list[range]:
        """Consecutive steps from `first` on, a macrobatch each; up to `end`, or to `agree` again.

        While nothing is measured that is one step.
        """
        if self.is_fixed:
            return [range(a, min(a + self.value, end)) for a in range(first, end, self.value)]
        if not self._measured:
            return [range(first, first + 1)] if first < end else []
        groups, size = [], 1
        while first < end:
            groups.append(range(first, min(first + size, end)))
            first, size = groups[-1].stop, min(2 * size, self.value)
        return groups

    def record(self, num_minibatches: int, num_edges: int, fetched_bytes: int) -> None:
        """A macrobatch was prepared; of those of its size the largest is kept."""
        if not self.is_fixed:
            held = bytes_at_a_time(num_edges, fetched_bytes, self.overlap)
            mean = -(-int(held) // num_minibatches)
            self._measured[num_minibatches] = max(mean, self._measured.get(num_minibatches, 1))

    def agree(self, comm: Comm) -> None:
        """Choose from what was measured, the larger macrobatches first; collective."""
        if not self.is_fixed:
            fitting = MOST
            if self._measured:
                minibatch = self._measured[max(self._measured)] * SLACK
                fitting = int(self.budget / minibatch)
            self.value = -allreduce_max(comm, -int(np.clip(fitting, 1, MOST)), "macrobatch size")
            self._measured = dict([max(self._measured.items())]) if self._measured else {}
