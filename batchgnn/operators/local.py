"""The operator of a local block: every row that a layer needs is in this process's memory."""

from functools import cached_property

import numpy as np

from batchgnn.base import buffers
from batchgnn.graph.block import Block
from batchgnn.kernels.attention import (
    Heads,
    attention,
    attention_adjoint_sources,
    attention_adjoint_targets,
)
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.segment import add_self_loops, gcn_weights, transpose_csr
from batchgnn.kernels.spmm import BESIDE, NO_WEIGHTS, PER_EDGE, PER_ROW, spmm
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.linear import dense
from batchgnn.nn.operator import Aggregation, Matrix
from batchgnn.operators.products import Products, multiply_adjoint

Coefficients = tuple[Heads, np.ndarray, np.float32]
"Of `attend`: what it was given, what the softmax and dropout made of each edge, dropout's scale."


class LocalOperator(Products):
    """A graph operator A of shape (num_targets, num_sources) over a block; `nn.operator`.

    `gather` is A x, `gather_adjoint` is A^T dh. What A holds for a drawn edge u -> v:
    mean 1 / drawn(v), sum degree(v) / drawn(v), gcn c_v c_u w degree(v) / drawn(v), and
    c_v^2 loop(v) for v itself. gcn and attention count every target as its own neighbour once,
    whether or not the graph has a self-loop there (whose weight alone is used, by gcn), as PyG's
    self-loops do.

    x is a matrix or Rows, which are read where they lie. The weights and the transposed CSR are
    built when first used, or ahead by `prepare`: the first layer rarely needs an adjoint.
    """

    only_inputs = False
    "Whether A can be applied to the input features alone."

    def __init__(self, block: Block, aggregation: Aggregation):
        """aggregation: the layers' own (`layer.aggregation`); gcn needs `block.scale`."""
        self.block, self.aggregation = block, aggregation
        self.num_targets, self.num_sources = block.num_targets, block.num_sources
        self.source_ids = block.ids
        self.target_ids = block.ids[: block.num_targets]
        if aggregation == "gcn" and block.scale is None:
            raise ValueError("the gcn operator needs a block with the norms of its sources")

    def prepare(self, adjoint: bool) -> None:
        """Build now what gathering needs, and its adjoint."""
        if self.aggregation != "attention":
            _ = self._transposed_weight if adjoint else self._weight
        _ = self._transposed if adjoint else self._csr

    def matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """A as a weighted CSR: indptr, indices, weight, per (as `kernels.spmm.spmm` takes them)."""
        return *self._csr, self._weight, self._per

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """indptr and indices, with the self-loops that the aggregation adds."""
        return self._csr

    def edges_by_source(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """indptr and targets of the same edges by source, and where each lies in `edges`."""
        return self._transposed

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        width = x.shape[1] * (2 if self_row == BESIDE else 1)
        dtype = x.dtype if isinstance(x, np.ndarray) else np.float32
        out = buffers.empty((self.num_targets, width), dtype)
        spmm(*self._csr, self._weight, self._per, x, self_row, out)
        return out

    def _product_adjoint(self, dh: np.ndarray, self_row: int) -> np.ndarray:
        width = dh.shape[1] // (2 if self_row == BESIDE else 1)
        out = buffers.empty((self.num_sources, width), dh.dtype)
        indptr, rows, _ = self._transposed
        multiply_adjoint((indptr, rows, self._transposed_weight), self._per, dh, self_row, out)
        return out

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Coefficients]:
        """As `Operator.attend`."""
        indptr, indices = self._csr
        coefficient = np.empty((len(indices), z.shape[1]), z.dtype)
        out = buffers.empty((self.num_targets, *z.shape[1:]), z.dtype)
        heads, mask = Heads(z, s_src, s_dst), dropout.mask
        ids = self.target_ids, self.source_ids
        attention(indptr, indices, heads, *ids, mask, dropout.first, coefficient, out)
        return out, (heads, coefficient, mask.scale)

    def attend_adjoint(
        self, dh: np.ndarray, saved: Coefficients
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of z, s_src and s_dst from that of h."""
        dscore, ds_dst = self.score_gradients(dh, saved)
        dz, ds_src = self.source_gradients(dh, saved, dscore, 0, self.num_sources)
        return dz, ds_src, ds_dst

    def score_gradients(self, dh: np.ndarray, saved: Coefficients) -> tuple[np.ndarray, np.ndarray]:
        """The first part of `attend_adjoint`: gradients of every edge's score, and of s_dst."""
        heads, coefficient, scale = saved
        indptr, indices = self._csr
        dscore = np.empty_like(coefficient)
        ds_dst = np.empty_like(heads.s_dst)
        attention_adjoint_targets(indptr, indices, heads, coefficient, scale, dh, dscore, ds_dst)
        return dscore, ds_dst

    def source_gradients(
        self, dh: np.ndarray, saved: Coefficients, dscore: np.ndarray, begin: int, end: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The second part: gradients of z and s_src, of the sources begin ... end - 1."""
        (z, s_src, _), coefficient, scale = saved
        indptr, rows, edge = self._transposed
        a, b = indptr[begin], indptr[end]
        edges = indptr[begin : end + 1] - a, rows[a:b], edge[a:b]
        dz, ds_src = np.empty_like(z[begin:end]), np.empty_like(s_src[begin:end])
        attention_adjoint_sources(*edges, coefficient, scale, dscore, dh, dz, ds_src)
        return dz, ds_src

    def targets(self, x: Matrix) -> np.ndarray:
        """The rows of x that are targets: a view of a matrix."""
        if isinstance(x, Rows):
            return dense(x._replace(address=x.address[: self.num_targets]))
        return x[: self.num_targets]

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the targets, added up over all who hold targets of this layer: here alone."""
        return sums

    def add_targets(self, dx: np.ndarray, dx_targets: np.ndarray) -> None:
        """The adjoint of `targets`: dx[targets] += dx_targets."""
        dx[: self.num_targets] += dx_targets

    @cached_property
    def _looped(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """indptr, indices and original edge (-1: the loop) with each target's self-loop."""
        most = self.block.num_edges + self.num_targets
        indptr, indices = np.empty(self.num_targets + 1, np.int64), np.empty(most, np.int32)
        edge = np.empty(most, np.int64)
        count = add_self_loops(self.block.indptr, self.block.indices, indptr, indices, edge)
        return indptr, indices[:count], edge[:count]

    @cached_property
    def _csr(self) -> tuple[np.ndarray, np.ndarray]:
        if self.aggregation in ("gcn", "attention"):
            return self._looped[:2]
        return self.block.indptr, self.block.indices

    @cached_property
    def _transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        indptr, indices = self._csr
        out_indptr = np.empty(self.num_sources + 1, np.int64)
        rows, edge = np.empty(len(indices), np.int32), np.empty(len(indices), np.int64)
        transpose_csr(indptr, indices, out_indptr, rows, edge)
        return out_indptr, rows, edge

    @property
    def _per(self) -> int:
        return PER_EDGE if self.aggregation == "gcn" else PER_ROW

    @cached_property
    def _weight(self) -> np.ndarray:
        """float32: one per edge of `_csr` for gcn, one per target for mean and sum."""
        block, drawn = self.block, np.diff(self.block.indptr)
        if self.aggregation == "mean":
            return 1 / np.maximum(drawn, 1).astype(np.float32)
        if self.aggregation == "sum":
            return _unbiased(block.degree, drawn)
        indptr, indices, edge = self._looped
        out = np.empty(len(indices), np.float32)
        weight = NO_WEIGHTS if block.weight is None else block.weight
        factor = _unbiased(block.degree, drawn)
        gcn_weights(indptr, indices, edge, weight, block.scale, factor, out)
        if block.loop is not None:
            out[indptr[:-1]] *= block.loop
        return out

    @cached_property
    def _transposed_weight(self) -> np.ndarray:
        """`_weight` in the order of `_transposed`; one per target stays as it is."""
        return self._weight[self._transposed[2]] if self._per == PER_EDGE else self._weight


def _unbiased(degree: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """degree / drawn, 1 without drawn edges; float32."""
    return (degree / np.maximum(drawn, 1)).astype(np.float32)
