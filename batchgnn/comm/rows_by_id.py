"""Rows of any vertices, wherever they live: fetched, and gradients sent home, by one plan."""

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.exchange import ArrayRows, RowExchange
from batchgnn.comm.grid import Comm
from batchgnn.graph.ownership import Ownership


class RowsById:
    """A planned exchange in the order of ids; every method is collective.

    `fetch` and `send_home` are adjoint, as a `RowExchange`'s forward and backward.
    """

    def __init__(self, comm: Comm, ownership: Ownership, ids: np.ndarray, name: str = "rows"):
        """ids: integers (n,), those that this rank needs; two rounds of messages."""
        owner = ownership.owner(ids)
        self.order = np.argsort(owner, kind="stable")
        counts = np.bincount(owner, minlength=comm.size)
        rows = ownership.local_rows(ids[self.order])
        self.exchange = RowExchange(comm, rows, counts, name)

    def fetch(self, own: np.ndarray) -> np.ndarray:
        """The rows of the ids, (n, d); own: (num_own, d), this rank's, as all ranks have them."""
        out = buffers.empty((len(self.order), own.shape[1]), own.dtype)
        out[self.order] = self.exchange.forward(ArrayRows(own))
        return out

    def send_home(self, drows: np.ndarray, num_own: int) -> np.ndarray:
        """(num_own, d): sum of the gradients of each own row; drows: (n, d), by the ids."""
        return self.exchange.backward(drows[self.order], num_own)
