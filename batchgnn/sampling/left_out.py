"""Edges that carry no message in a step: those that it is trained on, in both directions.

Else a model would learn an edge by looking whether it is there. They are taken out of what was
drawn: the other neighbours are those that would be drawn anyway.
"""

from collections.abc import Sequence

import numpy as np

from batchgnn.comm.exchange import exchange_counts, exchange_parts
from batchgnn.comm.grid import Comm
from batchgnn.kernels.sample import Listed, keep_others

COLUMNS = 3
"Of an edge that is told to the other ranks: step, source, target."
EDGE_BYTES = 8 * COLUMNS


class LeftOut:
    """The seeds of all ranks in the steps of a macrobatch, and their reverses.

    num_drawn  edges that were drawn and left out, on this rank
    """

    def __init__(self, comm: Comm, edges: Sequence[np.ndarray]):
        """edges: of each step, integers (2, n), this rank's sources and targets; collective."""
        step = np.repeat(np.arange(len(edges)), [each.shape[1] for each in edges])
        mine = np.column_stack([step, *np.concatenate(edges, axis=1)]).astype(np.int64)
        step, source, target = _of_all(comm, mine).T
        step = np.concatenate([step, step])
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
        order = np.lexsort((source, target, step))
        start = np.searchsorted(step[order], np.arange(len(edges) + 1))
        self.listed = Listed(start, target[order], source[order])
        self.num_drawn = 0

    def kept(
        self, step: np.ndarray, ids: np.ndarray, edge_start: np.ndarray, neighbors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which drawn edges stay, bool (m,), and how many of each target, int64 (n,).

        step: int64 (n,), of each target; ids, edge_start, neighbors: of `keep_others`
        """
        keep, count = np.empty(len(neighbors), np.bool_), np.empty(len(ids), np.int64)
        keep_others(step, ids, edge_start, neighbors, self.listed, keep, count)
        self.num_drawn += len(neighbors) - int(count.sum())
        return keep, count


def _of_all(comm: Comm, mine: np.ndarray) -> np.ndarray:
    """The rows (n, COLUMNS) of all ranks; one round of counts and one of rows."""
    counts = np.full(comm.size, len(mine))
    received = exchange_counts(comm, counts, "seed edges")
    out = np.empty((int(received.sum()), COLUMNS), np.int64)
    exchange_parts(comm, np.tile(mine, (comm.size, 1)), counts, out, received, "seed edges")
    return out
