"""An operator that remembers the rows it is given: what a `History` keeps of its aggregation."""

import numpy as np

from batchgnn.nn.dropout import Dropout
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Matrix, Operator, Saved
from batchgnn.operators.halo import flat


class RecordingOperator:
    """Does what another operator does, in forward alone; `nn.operator`.

    rows  of what it aggregated last: x, or z and the scores of the sources
    """

    only_inputs = False

    def __init__(self, inner: Operator):
        self.inner, self.rows = inner, list[np.ndarray]()
        self.num_targets, self.num_sources = inner.num_targets, inner.num_sources
        self.source_ids, self.target_ids = inner.source_ids, inner.target_ids
        self.prepare, self.total, self.targets = inner.prepare, inner.total, inner.targets

    def gather(self, x: Matrix) -> np.ndarray:
        """As `InputOperator.gather`."""
        self.rows = [dense(x)]
        return self.inner.gather(x)

    def gather_self(self, x: Matrix) -> np.ndarray:
        """As `InputOperator.gather_self`."""
        self.rows = [dense(x)]
        return self.inner.gather_self(x)

    def gather_beside(self, x: Matrix) -> np.ndarray:
        """As `InputOperator.gather_beside`."""
        self.rows = [dense(x)]
        return self.inner.gather_beside(x)

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Saved]:
        """As `Operator.attend`."""
        self.rows = [flat(z), s_src]
        return self.inner.attend(z, s_src, s_dst, dropout)
