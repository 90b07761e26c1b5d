"""Rows to columns and back: from all columns of own rows to own columns of all rows.

One all-to-all of uneven blocks each way, which is the inverse and the adjoint of the other.
"""

import numpy as np

from batchgnn.comm.exchange import exchange_parts
from batchgnn.comm.mpi import MPI
from batchgnn.watch import trace


class ColumnExchange:
    """Slices of columns for each rank of `comm`; every method is collective.

    Rows are in blocks: the own rows' columns of rank 0, row after row, then those of rank 1, ...
    (`kernels.columns.pack_columns`). Counts say how many rows of each rank take part.
    """

    def __init__(self, comm: MPI.Intracomm):
        """comm: used by one thread, that of the courier if it has one."""
        self.comm, self.rank, self.size = comm, comm.rank, comm.size

    def split(
        self, blocks: np.ndarray, counts: np.ndarray, bounds: np.ndarray, out: np.ndarray
    ) -> np.ndarray:
        """Blocks of own rows become own columns of all rows.

        blocks  (counts[rank] * d,)
        counts  int64 (P,)      rows of each rank
        bounds  int64 (P + 1,)  columns of rank p are bounds[p] : bounds[p + 1], from 0 to d
        out     (sum of counts, own width), contiguous: the rows of rank 0, then of rank 1, ...
        """
        sent, received = self._sizes(counts, bounds)
        exchange_parts(self.comm, blocks, sent, out.reshape(-1), received, "split")
        return out

    def join(
        self, rows: np.ndarray, counts: np.ndarray, bounds: np.ndarray, out: np.ndarray
    ) -> np.ndarray:
        """Own columns of all rows become blocks of own rows; arguments as `split`, reversed."""
        received, sent = self._sizes(counts, bounds)
        exchange_parts(self.comm, rows.reshape(-1), sent, out, received, "join")
        return out

    def collect(self, rows: np.ndarray, counts: np.ndarray, name: str = "scores") -> np.ndarray:
        """All rows, whole, on every rank: (counts[rank], d) -> (sum of counts, d)."""
        out = np.empty((int(np.sum(counts)), rows.shape[1]), rows.dtype)
        sent = np.full(self.size, len(rows), np.int64)
        exchange_parts(self.comm, np.concatenate([rows] * self.size), sent, out, counts, name)
        return out

    def reduce(self, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The adjoint of `collect`: own rows of all ranks' matrices, added in rank order."""
        received = np.full(self.size, counts[self.rank], np.int64)
        out = np.empty((self.size, int(counts[self.rank]), sums.shape[1]), sums.dtype)
        flat = out.reshape(-1, sums.shape[1])
        exchange_parts(self.comm, sums, counts, flat, received, "scores adjoint")
        return out.sum(axis=0)

    def least(self, values: np.ndarray) -> np.ndarray:
        """The least of every element over the ranks, in place."""
        if self.size > 1:
            with trace.collective("groups of rows", self.comm.name, values.nbytes):
                self.comm.Allreduce(MPI.IN_PLACE, values, op=MPI.MIN)
        return values

    def _sizes(self, counts: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in each block of own rows, and in each run of rows of own columns."""
        widths = np.diff(bounds)
        return int(counts[self.rank]) * widths, np.asarray(counts) * int(widths[self.rank])
