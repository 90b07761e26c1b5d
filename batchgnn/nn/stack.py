"""A stack of convolutions with epilogues between them: GraphSAGE, GCN, GIN and GAT."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.kernels.aggregate import join_rows
from batchgnn.kernels.spmm import ADDED
from batchgnn.nn.conv import CONVOLUTIONS
from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.epilogue import Epilogue
from batchgnn.nn.init import Declared
from batchgnn.nn.linear import dense
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.norm import NORMS
from batchgnn.nn.operator import InputOperator, Matrix, Operator, Saved, with_adjoint
from batchgnn.nn.parameters import Parameters


class SavedLayer(NamedTuple):
    """What a layer's backward needs; residual: the operator whose targets it was added to."""

    conv: Saved
    epilogue: Saved
    residual: Operator | None


class ConvolutionModel:
    """Layers of one kind: convolution, bias, norm, activation, dropout; the last has only a bias.

    Over any operators whose targets are the next one's sources, sampled ones too.
    """

    def __init__(
        self,
        spec: ModelSpec,
        num_features: int,
        num_outputs: int,
        *,
        extra: Mapping[str, Declared] = {},
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ):
        """As `models.make_model`."""
        self.spec, self.num_layers = spec, spec.layers
        self.widths = [num_features, *[spec.hidden] * (spec.layers - 1), num_outputs]
        self.kind = CONVOLUTIONS[spec.model]
        self.aggregation = self.kind.aggregation
        self.parameters = Parameters({**_declare(spec, self.widths), **extra}, seed, dtype)
        self.convs = [self.kind(self.parameters.scope(f"convs.{n}.")) for n in range(spec.layers)]
        self.epilogues = [self._epilogue(n) for n in range(spec.layers)]

    def forward(
        self,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, list[SavedLayer]]:
        """As `Model.forward`."""
        return self.forward_layers(0, operators, x, stream)

    def backward(
        self, dy: np.ndarray, saved: list[SavedLayer], need_dx: bool = False
    ) -> np.ndarray | None:
        """As `Model.backward`."""
        return self.backward_layers(0, dy, saved, need_dx)

    def entering_width(self, n: int) -> int:
        """As `StagedModel.entering_width`."""
        return self.widths[n]

    def forward_layers(
        self,
        first: int,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, list[SavedLayer]]:
        """As `StagedModel.forward_layers`."""
        spec = self.spec
        if stream and spec.input_dropout and first == 0:
            x = stream.layer(0, spec.input_dropout)(dense(x), operators[0].source_ids)
        y, saved = x, []
        for n, A in enumerate(operators, first):
            attention = between = NO_DROPOUT
            if stream and spec.attention_dropout:
                attention = stream.attention(n, spec.attention_dropout)
            if stream and spec.dropout and n + 1 < self.num_layers:
                between = stream.layer(n + 1, spec.dropout)
            y, of_layer = self._layer(n, A, y, attention, between, stream is not None)
            saved.append(of_layer)
        return dense(y), saved

    def backward_layers(
        self, first: int, dy: np.ndarray, saved: list[SavedLayer], need_dx: bool = False
    ) -> np.ndarray | None:
        """As `StagedModel.backward_layers`."""
        for n in reversed(range(first, first + len(saved))):
            of_conv, of_epilogue, residual = saved[n - first]
            grads = self.parameters.scope_grads(f"convs.{n}.")
            norm_grads = self.parameters.scope_grads(f"norms.{n}.")
            dbias = grads[self.convs[n].bias_name]
            passed = dy.copy() if residual is not None else dy
            dy = self.epilogues[n].backward(dy, of_epilogue, dbias, norm_grads)
            dx = self.convs[n].backward(dy, of_conv, grads, need_dx=need_dx or n > 0)
            if dx is None:
                return None
            if residual is not None:
                residual.add_targets(dx, passed)
            dy = dx
        return dy

    def evaluate(self, operators: Sequence[InputOperator], x: Matrix) -> np.ndarray:
        """As `Model.evaluate`."""
        y = x
        for n, A in enumerate(operators):
            y = self.layer_forward(n, A, y)
        return dense(y)

    def layer_forward(self, n: int, A: InputOperator, x: Matrix) -> np.ndarray:
        """As `LayeredModel.layer_forward`."""
        return self._layer(n, A, x, NO_DROPOUT, NO_DROPOUT, training=False)[0]

    def _layer(
        self,
        n: int,
        A: InputOperator,
        x: Matrix,
        attention: Dropout,
        between: Dropout,
        training: bool,
    ) -> tuple[np.ndarray, SavedLayer]:
        y, of_conv = self.convs[n].forward(A, x, attention)
        y, of_epilogue = self.epilogues[n].forward(y, A.target_ids, between, A, training)
        if not self._is_residual(n):
            return y, SavedLayer(of_conv, of_epilogue, None)
        residual = with_adjoint(A)
        out = buffers.empty(y.shape, y.dtype)
        join_rows(y, residual.targets(x), ADDED, out)
        return out, SavedLayer(of_conv, of_epilogue, residual)

    def _is_residual(self, n: int) -> bool:
        """Whether layer n adds its input: the first and the last change the width of the rows."""
        return self.spec.residual and 0 < n < self.num_layers - 1

    def _epilogue(self, n: int) -> Epilogue:
        bias = self.parameters[f"convs.{n}.{self.convs[n].bias_name}"]
        if n + 1 == self.num_layers:
            return Epilogue("none", bias)
        norm = None
        if self.spec.norm != "none":
            norm = NORMS[self.spec.norm](self.parameters.scope(f"norms.{n}."))
        return Epilogue(self.kind.activation, bias, norm)


def _declare(spec: ModelSpec, widths: list[int]) -> dict[str, Declared]:
    """All parameters by PyG's names, in the order of the layers."""
    declared: dict[str, Declared] = {}
    kind = CONVOLUTIONS[spec.model]
    for n, (d_in, d_out) in enumerate(pairwise(widths)):
        last = n + 1 == spec.layers
        conv = kind.declare(d_in, d_out, 1 if last else spec.heads)
        declared |= {f"convs.{n}.{name}": each for name, each in conv.items()}
        if spec.norm != "none" and not last:
            norm = NORMS[spec.norm].declare(d_out)
            declared |= {f"norms.{n}.{name}": each for name, each in norm.items()}
    return declared
