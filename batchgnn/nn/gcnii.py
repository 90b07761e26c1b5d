"""GCNII (arXiv:2007.02133): a deep GCN whose layers see the first layer's rows again.

Two linear layers stand before and after the convolutions, as in PyG's example gcn2_cora.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.nn.conv import GcnII
from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.epilogue import Epilogue, SavedEpilogue
from batchgnn.nn.init import Declared, kaiming, kaiming_bias
from batchgnn.nn.linear import dense, linear, linear_backward
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.operator import InputOperator, Matrix, Saved, with_adjoint
from batchgnn.nn.parameters import Parameters


class SavedEntry(NamedTuple):
    """What backward needs of the first linear layer; entering: the dropout behind it."""

    x: np.ndarray
    activated: SavedEpilogue
    entering: Dropout


class SavedForward(NamedTuple):
    """What backward needs: of the first linear layer where it was computed, of each convolution,
    and their result; ids: the keys of the first one's rows.
    """

    entry: SavedEntry | None
    ids: np.ndarray
    of_layers: list[tuple[Saved, SavedEpilogue]]
    y: np.ndarray


class GcnIIModel:
    """x_0 = relu(x W_0 + b_0); x_l = relu(conv_l(dropout(x_{l-1}), x_0)); dropout(x_L) W_1 + b_1.

    `layers` counts convolutions.
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
        if spec.norm != "none" or spec.residual:
            raise ValueError("gcnii adds the first layer's rows to each layer, and has no norm")
        self.spec, self.num_layers, self.aggregation = spec, spec.layers, GcnII.aggregation
        self.widths = [num_features, *[spec.hidden] * spec.layers, num_outputs]
        declared = _declare(spec, num_features, num_outputs)
        self.parameters = Parameters({**declared, **extra}, seed, dtype)
        self.deep = [
            GcnII(self.parameters.scope(f"convs.{n}."), n, spec.alpha, spec.theta)
            for n in range(spec.layers)
        ]
        no_bias = np.empty(0, dtype)
        self.epilogues = [Epilogue("relu", no_bias) for _ in range(spec.layers)]
        self.ends = [self.parameters[f"lins.{k}.weight"] for k in (0, 1)]
        self.first = Epilogue("relu", self.parameters["lins.0.bias"])
        self.last = Epilogue("none", self.parameters["lins.1.bias"])

    def forward(
        self,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, SavedForward]:
        """As `Model.forward`."""
        return self.forward_layers(0, operators, x, stream)

    def backward(
        self, dy: np.ndarray, saved: SavedForward, need_dx: bool = False
    ) -> np.ndarray | None:
        """As `Model.backward`."""
        return self.backward_layers(0, dy, saved, need_dx)

    def entering_width(self, n: int) -> int:
        """As `StagedModel.entering_width`: a layer's own rows, and beside them the first one's."""
        return 2 * self.spec.hidden

    def forward_layers(
        self,
        first: int,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, SavedForward]:
        """As `StagedModel.forward_layers`; the linear layers are part of the ends."""
        x, ids, end = dense(x), operators[0].source_ids, first + len(operators)
        entry, of_layers = None, []
        if first == 0:
            y, initial, entry = self._enter(x, ids, stream)
        else:
            y, initial = _halves(x)
        for n, A in enumerate(operators, first):
            initial = with_adjoint(A).targets(initial)
            y, of_conv = self.deep[n].forward(with_adjoint(A), y, initial)
            dropout = self._dropout(stream, n + 2)
            y, of_epilogue = self.epilogues[n].forward(y, A.target_ids, dropout)
            of_layers.append((of_conv, of_epilogue))
        saved = SavedForward(entry, ids, of_layers, y)
        if end < self.num_layers:
            return np.concatenate([y, initial], axis=1), saved
        return self.last.forward(linear(y, self.ends[1]))[0], saved

    def _enter(
        self, x: np.ndarray, ids: np.ndarray, stream: DropoutStream | None
    ) -> tuple[np.ndarray, np.ndarray, SavedEntry]:
        """Rows of the first convolution, and those that every layer sees again."""
        if stream and self.spec.input_dropout:
            x = stream.layer(0, self.spec.input_dropout)(x, ids)
        initial, activated = self.first.forward(linear(x, self.ends[0]))
        entering = self._dropout(stream, 1)
        return entering(initial, ids), initial, SavedEntry(x, activated, entering)

    def _dropout(self, stream: DropoutStream | None, layer: int) -> Dropout:
        probability = self.spec.dropout
        return stream.layer(layer, probability) if stream and probability else NO_DROPOUT

    def backward_layers(
        self, first: int, dy: np.ndarray, saved: SavedForward, need_dx: bool = False
    ) -> np.ndarray | None:
        """As `StagedModel.backward_layers`."""
        entry, ids, of_layers, y = saved
        grads, end = self.parameters.grads, first + len(of_layers)
        if end == self.num_layers:
            nothing = SavedEpilogue(dy, ids, NO_DROPOUT, None)
            dy = self.last.backward(dy, nothing, grads["lins.1.bias"])
            dy = linear_backward(dy, y, self.ends[1], grads["lins.1.weight"])
            dinitial = np.zeros_like(dy)
        else:
            dy, dinitial = _halves(dy)
        no_bias = np.empty(self.spec.hidden, dy.dtype)
        for n in reversed(range(first, end)):
            of_conv, of_epilogue = of_layers[n - first]
            dy = self.epilogues[n].backward(dy, of_epilogue, no_bias)
            of_weight = self.parameters.scope_grads(f"convs.{n}.")
            dy = self.deep[n].backward(dy, of_conv, of_weight, dinitial)
            dinitial = _at_sources(dinitial, len(dy))
        if entry is None:
            return np.concatenate([dy, dinitial], axis=1)
        dinitial += entry.entering(dy, ids)
        dinitial = self.first.backward(dinitial, entry.activated, grads["lins.0.bias"])
        return linear_backward(dinitial, entry.x, self.ends[0], grads["lins.0.weight"], need_dx)

    def evaluate(self, operators: Sequence[InputOperator], x: Matrix) -> np.ndarray:
        """As `Model.evaluate`: after all convolutions the outputs, after fewer their rows."""
        initial, _ = self.first.forward(linear(dense(x), self.ends[0]))
        y = initial
        for n, A in enumerate(operators):
            initial = with_adjoint(A).targets(initial)
            y, _ = self.deep[n].forward(with_adjoint(A), y, initial)
            y, _ = self.epilogues[n].forward(y)
        if len(operators) == self.num_layers:
            y, _ = self.last.forward(linear(y, self.ends[1]))
        return y


def _at_sources(dtargets: np.ndarray, num_sources: int) -> np.ndarray:
    """The gradient of sources' rows, of which the first are the targets'."""
    if len(dtargets) == num_sources:
        return dtargets
    out = np.zeros((num_sources, dtargets.shape[1]), dtargets.dtype)
    out[: len(dtargets)] = dtargets
    return out


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The left and the right columns, as matrices of their own."""
    left, right = np.split(x, 2, axis=1)
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


def _declare(spec: ModelSpec, num_features: int, num_outputs: int) -> dict[str, Declared]:
    """All parameters by the names of PyG's example, which calls the linear layers `lins`."""
    declared: dict[str, Declared] = {}
    ends = ((num_features, spec.hidden), (spec.hidden, num_outputs))
    for k, (d_in, d_out) in enumerate(ends):
        declared[f"lins.{k}.weight"] = kaiming(d_in, d_out)
        declared[f"lins.{k}.bias"] = kaiming_bias(d_in, d_out)
    for n in range(spec.layers):
        conv = GcnII.declare(spec.hidden, spec.hidden)
        declared |= {f"convs.{n}.{name}": each for name, each in conv.items()}
    return declared
