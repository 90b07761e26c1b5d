"""What every operator with a product offers: a target's own row left out, added, or beside."""

from abc import ABC, abstractmethod

import numpy as np

from batchgnn.base import buffers
from batchgnn.kernels.spmm import (
    ADDED,
    BESIDE,
    NO_WEIGHTS,
    PER_ROW,
    UNWEIGHTED,
    WITHOUT,
    scale_rows,
    spmm_adjoint,
)
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Matrix


class Products(ABC):
    """The six products of a graph operator A (`nn.operator`), by two that subclasses have.

    x has the rows of sources that this rank holds, the result those of targets.
    """

    @abstractmethod
    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        """A x, and of x_targets what `self_row` says: WITHOUT, ADDED or BESIDE."""

    @abstractmethod
    def _product_adjoint(self, dh: np.ndarray, self_row: int) -> np.ndarray:
        """The adjoint of `_product`."""

    def gather(self, x: Matrix) -> np.ndarray:
        """A x: (sources, d) -> (targets, d)."""
        return self._product(x, WITHOUT)

    def gather_self(self, x: Matrix) -> np.ndarray:
        """A x + x_targets: (sources, d) -> (targets, d)."""
        return self._product(x, ADDED)

    def gather_beside(self, x: Matrix) -> np.ndarray:
        """[A x | x_targets]: (sources, d) -> (targets, 2 d)."""
        return self._product(x, BESIDE)

    def gather_adjoint(self, dh: np.ndarray) -> np.ndarray:
        """A^T dh: (targets, d) -> (sources, d)."""
        return self._product_adjoint(dh, WITHOUT)

    def gather_self_adjoint(self, dh: np.ndarray) -> np.ndarray:
        """The adjoint of `gather_self`: (targets, d) -> (sources, d)."""
        return self._product_adjoint(dh, ADDED)

    def gather_beside_adjoint(self, dboth: np.ndarray) -> np.ndarray:
        """The adjoint of `gather_beside`: (targets, 2 d) -> (sources, d)."""
        return self._product_adjoint(dboth, BESIDE)


class SquareProducts(Products):
    """Of an operator whose targets are its sources."""

    def targets(self, x: Matrix) -> np.ndarray:
        """The rows of x that are targets: all."""
        return dense(x)

    def add_targets(self, dx: np.ndarray, dx_targets: np.ndarray) -> None:
        """The adjoint of `targets`: dx += dx_targets."""
        dx += dx_targets


def multiply_adjoint(
    transposed: tuple[np.ndarray, np.ndarray, np.ndarray],
    per: int,
    dy: np.ndarray,
    self_row: int,
    out: np.ndarray,
) -> None:
    """out (num_sources, d) = the adjoint of `kernels.spmm.spmm` of dy, overwritten.

    transposed: indptr and targets of the edges by source, and their weights: PER_EDGE one an edge
    in this order, PER_ROW one a target; `per` is that of the product itself
    """
    indptr, targets, weight = transposed
    x = dy
    if per == PER_ROW:
        x = buffers.empty((len(dy), out.shape[1]), dy.dtype)
        scale_rows(dy, weight, x)
        weight, per = NO_WEIGHTS, UNWEIGHTED
    spmm_adjoint(indptr, targets, weight, per, x, dy, self_row, out)
