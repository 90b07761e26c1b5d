"""Rows of a trained table that a minibatch reads: fetched in its step, gradients sent home."""

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.exchange import starts
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.spmm import NO_WEIGHTS, UNWEIGHTED, WITHOUT, spmm
from batchgnn.nn.row_table import RowTable
from batchgnn.sampling.inputs import InputRows
from batchgnn.store.own_shards import Column


class TableRows:
    """The input rows of one minibatch, where every step moves rows: planned ahead of the step.

    `fetch` and `send_home` are adjoint, and collective.
    """

    def __init__(self, inputs: InputRows, table: RowTable):
        """inputs: of one list of vertices, whose rows travel on the main thread's communicator."""
        self.inputs, self.table = inputs, table
        self.is_far = inputs.rows[0] < 0
        asked = inputs.here.local_rows(inputs.exchange.send_rows)
        rows = np.concatenate([inputs.rows[0][~self.is_far], asked])
        self.met, count = np.unique(rows, return_counts=True)
        self.sums = starts(count), np.argsort(rows, kind="stable").astype(np.int32)

    def fetch(self) -> np.ndarray:
        """The rows as they are now, (n, d)."""
        found = self.inputs.fetch(Column([self.table.rows]))
        x = buffers.empty(found.rows[0].shape, self.table.rows.dtype)
        copy_rows(found.rows[0], x)
        return x

    def send_home(self, dx: np.ndarray) -> None:
        """Give each owner the gradients of its rows; dx: (n, d).

        A row's are added up in one order: its own rank's, then the others' by their number.
        """
        exchange, width = self.inputs.exchange, dx.shape[1]
        far = buffers.empty((exchange.num_received, width), dx.dtype)
        far[-1 - self.inputs.rows[0][self.is_far]] = dx[self.is_far]
        home = buffers.empty((len(exchange.send_rows), width), dx.dtype)
        exchange.send_back(far, home)
        del far
        every = np.concatenate([dx[~self.is_far], home])
        total = buffers.empty((len(self.met), width), dx.dtype)
        spmm(*self.sums, NO_WEIGHTS, UNWEIGHTED, every, WITHOUT, total)
        self.table.gradient, self.table.met = total, self.met
