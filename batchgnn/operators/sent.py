"""What a rank sends of its own rows, and how gradients of it are added to theirs."""

from functools import cached_property

import numpy as np

from batchgnn.comm.exchange import starts
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.spmm import NO_WEIGHTS, ONTO, UNWEIGHTED, WITHOUT, spmm
from batchgnn.nn.operator import Matrix
from batchgnn.operators.part import Part


class SentRows:
    """Copies of own rows."""

    def __init__(self, rows: np.ndarray, num_own: int):
        """rows: integers (k,), in the order in which they are sent."""
        self.rows, self.num_own = rows, num_own

    def prepare(self) -> None:
        """Build now what `add_home` needs."""
        _ = self._homeward

    def pack(self, x: Matrix, out: np.ndarray) -> None:
        """out[i] = row rows[i] of x: (num_own, d) -> (k, d)."""
        if isinstance(x, Rows):
            chosen = Rows(x.address[self.rows], x.like)
        else:
            x = np.ascontiguousarray(x)
            step = self.rows.astype(np.uint64) * np.uint64(x.strides[0])
            chosen = Rows(np.uint64(x.ctypes.data) + step, x[:0])
        copy_rows(chosen, out)

    def add_home(self, home: np.ndarray, out: np.ndarray) -> None:
        """The adjoint: out[v] += the gradients of own row v, in the order of the ranks."""
        indptr, places = self._homeward
        spmm(indptr, places, NO_WEIGHTS, UNWEIGHTED, home, ONTO, out)

    @cached_property
    def _homeward(self) -> tuple[np.ndarray, np.ndarray]:
        """CSR by own row: where in the rows that come home its gradients are."""
        indptr = starts(np.bincount(self.rows, minlength=self.num_own))
        return indptr, np.argsort(self.rows, kind="stable").astype(np.int32)


class SentSums:
    """Weighted sums of own rows, some of them of one row alone."""

    def __init__(self, part: Part):
        """part: of the sums (k,) as targets and the own rows as sources."""
        self.part = part

    def prepare(self) -> None:
        """Build now what `add_home` needs."""
        _ = self.part.transposed

    def pack(self, x: Matrix, out: np.ndarray) -> None:
        """out = the sums of the rows of x: (num_own, d) -> (k, d)."""
        given = x if isinstance(x, Rows) else np.ascontiguousarray(x)
        self.part.multiply(given, WITHOUT, out)

    def add_home(self, home: np.ndarray, out: np.ndarray) -> None:
        """The adjoint: out += what the gradients of the sums are by own row, in their order."""
        indptr, sums, weight = self.part.transposed
        spmm(indptr, sums, weight, self.part.per, home, ONTO, out)
