"""Edges of a halo operator by where their sources are: own rows, or rows that other ranks send."""

from functools import cached_property

import numpy as np

from batchgnn.kernels.segment import transpose_csr
from batchgnn.kernels.spmm import PER_EDGE, spmm
from batchgnn.nn.operator import Matrix
from batchgnn.operators.products import multiply_adjoint


class Part:
    """A weighted CSR and its transpose."""

    def __init__(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        weight: np.ndarray,
        per: int,
        num_sources: int,
        *,
        symmetric: bool = False,
    ):
        """As `kernels.spmm.spmm` takes them; symmetric: the matrix of the edges is."""
        self.edges, self.weight, self.per = (indptr, indices), weight, per
        self.num_targets, self.num_sources = len(indptr) - 1, num_sources
        self.symmetric = symmetric

    def multiply(self, x: Matrix, self_row: int, out: np.ndarray) -> None:
        """As `kernels.spmm.spmm`."""
        spmm(*self.edges, self.weight, self.per, x, self_row, out)

    def multiply_adjoint(self, dy: np.ndarray, self_row: int, out: np.ndarray) -> None:
        """As `operators.products.multiply_adjoint`."""
        multiply_adjoint(self.transposed, self.per, dy, self_row, out)

    @cached_property
    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """indptr, targets and weight of the edges by source."""
        if self.symmetric:
            return *self.edges, self.weight
        num_edges = len(self.edges[1])
        indptr = np.empty(self.num_sources + 1, np.int64)
        rows, edge = np.empty(num_edges, np.int32), np.empty(num_edges, np.int64)
        transpose_csr(*self.edges, indptr, rows, edge)
        return indptr, rows, self.weight[edge] if self.per == PER_EDGE else self.weight


def split(
    matrix: tuple[np.ndarray, np.ndarray, np.ndarray, int],
    num_own: int,
    num_halo: int,
    symmetric: bool,
) -> tuple[Part, Part]:
    """The edges from own rows, and those from the halo's rows num_own, num_own + 1, ..."""
    indptr, indices, weight, per = matrix
    near = indices < num_own
    before = np.zeros(len(indices) + 1, np.int64)
    np.cumsum(near, out=before[1:])
    near_indptr = before[indptr]
    weights = (weight[near], weight[~near]) if per == PER_EDGE else (weight, weight)
    far = indices[~near] - np.int32(num_own)
    return (
        Part(near_indptr, indices[near], weights[0], per, num_own, symmetric=symmetric),
        Part(indptr - near_indptr, far, weights[1], per, num_halo),
    )
