"""Rows of all vertices on one rank, to those that own the vertices, and back."""

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.comm.exchange import exchange_parts
from batchgnn.comm.grid import Comm
from batchgnn.graph.ownership import Ownership

NAME = "rows of owners"


class Owners:
    """Which vertices each rank owns; every method is collective.

    On the one rank rows are in the order of ids, on an owner in its own order.
    """

    def __init__(self, comm: Comm, ownership: Ownership):
        self.comm, self.num_vertices = comm, ownership.num_vertices
        self.ids = np.concatenate([ownership.own_ids(rank) for rank in range(comm.size)])
        "Of all vertices, grouped by owner."
        self.counts = np.array([ownership.num_own(rank) for rank in range(comm.size)], np.int64)

    def deal(self, root: int, rows: np.ndarray | None, width: int, dtype: DTypeLike) -> np.ndarray:
        """(num_own, width) each, of what the root has: (N, width), None elsewhere."""
        sent, received = np.zeros_like(self.counts), np.zeros_like(self.counts)
        received[root] = self.counts[self.comm.rank]
        grouped = np.empty((0, width), dtype)
        if rows is not None:
            sent, grouped = self.counts, rows[self.ids]
        out = np.empty((int(received[root]), width), dtype)
        exchange_parts(self.comm, grouped, sent, out, received, NAME)
        return out

    def collect(self, root: int, rows: np.ndarray) -> np.ndarray | None:
        """(N, width) at the root, None elsewhere; rows (num_own, width) are one's own."""
        sent, received = np.zeros_like(self.counts), np.zeros_like(self.counts)
        sent[root] = len(rows)
        is_root = self.comm.rank == root
        if is_root:
            received = self.counts
        grouped = np.empty((int(received.sum()), *rows.shape[1:]), rows.dtype)
        exchange_parts(self.comm, np.ascontiguousarray(rows), sent, grouped, received, NAME)
        if not is_root:
            return None
        out = np.empty_like(grouped)
        out[self.ids] = grouped
        return out
