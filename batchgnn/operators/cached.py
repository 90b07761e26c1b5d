"""The operators of a first layer whose aggregation was computed before training."""

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.graph.block import Block
from batchgnn.kernels.aggregate import join_rows, put_rows
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.spmm import ADDED, BESIDE
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Aggregation, Matrix, Operator
from batchgnn.operators.local import LocalOperator


class CachedOperator:
    """A x for the input features x alone, as rows that are ready; `nn.operator`.

    The sources of x are the targets: x holds their own features. There is no adjoint, because
    input features have no gradient.
    """

    only_inputs = True

    def __init__(self, ids: np.ndarray, aggregated: Rows):
        """ids: global ids of the targets; aggregated: (n, d), what A x is for each of them."""
        self.source_ids = self.target_ids = ids
        self.num_sources = self.num_targets = len(ids)
        self.aggregated = aggregated

    def prepare(self, adjoint: bool) -> None:
        """Nothing is left to do."""

    def gather(self, x: Matrix) -> np.ndarray:
        """A x: (n, d)."""
        return dense(self.aggregated)

    def gather_self(self, x: Matrix) -> np.ndarray:
        """A x + x: (n, d)."""
        return self._joined(x, ADDED)

    def gather_beside(self, x: Matrix) -> np.ndarray:
        """[A x | x]: (n, 2 d)."""
        return self._joined(x, BESIDE)

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the targets, added up over all who hold targets of this layer: here alone."""
        return sums

    def _joined(self, x: Matrix, self_row: int) -> np.ndarray:
        num_rows, width = self.aggregated.shape
        out = buffers.empty((num_rows, width * (2 if self_row == BESIDE else 1)), np.float32)
        join_rows(self.aggregated, x, self_row, out)
        return out


class KeptOperator:
    """A x for the input features x alone, made once and used in every step of whole-graph training.

    It holds what the layer multiplies by its weights and asks for by one of the three names: A x of
    gcn, A x + x of sum, [A x | x] of mean. x itself is not read: pass anything.
    """

    only_inputs = True

    def __init__(
        self,
        ids: np.ndarray,
        aggregation: Aggregation,
        aggregated: Rows,
        features: Rows,
        A: Operator,
        dtype: DTypeLike,
    ):
        """ids: of the targets; aggregated, features: (n, d), A x and x; dtype: of the matrix.

        A: the operator that it stands for; not used but for sums over its targets
        """
        self.total = A.total
        self.source_ids = self.target_ids = ids
        self.num_sources = self.num_targets = len(ids)
        cached = CachedOperator(ids, aggregated)
        make = {"gcn": cached.gather, "sum": cached.gather_self, "mean": cached.gather_beside}
        self._matrix = make[aggregation](features).astype(dtype, copy=False)

    @classmethod
    def of(cls, operator: Operator, aggregation: Aggregation, x: np.ndarray) -> "KeptOperator":
        """Kept is what an operator over the whole graph makes of x now; collective."""
        names = {"gcn": "gather", "sum": "gather_self", "mean": "gather_beside"}
        kept = cls.holding(operator.target_ids, getattr(operator, names[aggregation])(x))
        kept.total = operator.total
        kept.num_sources, kept.num_targets = operator.num_sources, operator.num_targets
        return kept

    @classmethod
    def holding(cls, ids: np.ndarray, matrix: np.ndarray) -> "KeptOperator":
        """Kept is a matrix as another KeptOperator gathers it; sums are over these rows alone."""
        kept = cls.__new__(cls)
        kept.total = lambda sums: sums
        kept.source_ids = kept.target_ids = ids
        kept.num_sources = kept.num_targets = len(ids)
        kept._matrix = matrix
        return kept

    def prepare(self, adjoint: bool) -> None:
        """Nothing is left to do."""

    def gather(self, x: object) -> np.ndarray:
        """What is kept: (n, d), of mean (n, 2 d)."""
        return self._matrix

    gather_self = gather_beside = gather


class PartlyCachedOperator(LocalOperator):
    """A x over all neighbours: of some targets as rows that are ready, of the others by the block.

    The block has no edges into the targets that are ready. There is no adjoint.
    """

    only_inputs = True

    def __init__(self, block: Block, aggregation: Aggregation, ready: np.ndarray, rows: Rows):
        """ready: int64 (n,), which targets; rows: (n, d), what A x is for each of them."""
        super().__init__(block, aggregation)
        self.ready, self.rows = ready, rows

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        out = super()._product(x, self_row)
        put_rows(self.rows, self.ready, self_row == ADDED, out)
        return out
