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
from batchgnn.nn.linear import dense, linear, linear_backward, weight_gradient
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.operator import InputOperator, Matrix, Saved, with_adjoint
from batchgnn.nn.parameters import Parameters


class SavedForward(NamedTuple):
    """What `GcnIIModel.backward` needs: of the first layer, of each convolution, and their result.

    entering, ids: the dropout between the first layer and the convolutions, and the keys of rows
    """

    x: np.ndarray
    activated: SavedEpilogue
    entering: Dropout
    ids: np.ndarray
    of_layers: list[tuple[Saved, SavedEpilogue]]
    y: np.ndarray


class GcnIIModel:
    """x_0 = relu(x W_0 + b_0); x_l = relu(conv_l(dropout(x_{l-1}), x_0)); dropout(x_L) W_1 + b_1.

    For operators over the whole graph, whose sources are its targets. `layers` counts convolutions.
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
        *,
        seed: int,
        epoch: int,
        step: int,
        training: bool,
    ) -> tuple[np.ndarray, SavedForward]:
        """As `Model.forward`."""
        spec, stream = self.spec, DropoutStream(seed, epoch, step) if training else None
        x, ids = dense(x), operators[0].source_ids
        if stream and spec.input_dropout:
            x = stream.layer(0, spec.input_dropout)(x, ids)

        def dropout(layer: int) -> Dropout:
            return stream.layer(layer, spec.dropout) if stream and spec.dropout else NO_DROPOUT

        initial, activated = self.first.forward(linear(x, self.ends[0]))
        entering = dropout(1)
        y, of_layers = entering(initial, ids), []
        for n, A in enumerate(operators):
            y, of_conv = self.deep[n].forward(with_adjoint(A), y, initial)
            y, of_epilogue = self.epilogues[n].forward(y, ids, dropout(n + 2))
            of_layers.append((of_conv, of_epilogue))
        out, _ = self.last.forward(linear(y, self.ends[1]))
        return out, SavedForward(x, activated, entering, ids, of_layers, y)

    def backward(self, dy: np.ndarray, saved: SavedForward) -> None:
        """As `Model.backward`."""
        x, activated, entering, ids, of_layers, y = saved
        grads = self.parameters.grads
        nothing = SavedEpilogue(dy, ids, NO_DROPOUT, None)
        dy = self.last.backward(dy, nothing, grads["lins.1.bias"])
        dy = linear_backward(dy, y, self.ends[1], grads["lins.1.weight"])
        no_bias = np.empty(self.spec.hidden, dy.dtype)
        dinitial = np.zeros_like(dy)
        for n in reversed(range(self.num_layers)):
            of_conv, of_epilogue = of_layers[n]
            dy = self.epilogues[n].backward(dy, of_epilogue, no_bias)
            of_weight = self.parameters.scope_grads(f"convs.{n}.")
            dy = self.deep[n].backward(dy, of_conv, of_weight, dinitial)
        dinitial += entering(dy, ids)
        dinitial = self.first.backward(dinitial, activated, grads["lins.0.bias"])
        weight_gradient(dinitial, x, grads["lins.0.weight"])

    def evaluate(self, operators: Sequence[InputOperator], x: Matrix) -> np.ndarray:
        """As `Model.evaluate`: after all convolutions the outputs, after fewer their rows."""
        initial, _ = self.first.forward(linear(dense(x), self.ends[0]))
        y = initial
        for n, A in enumerate(operators):
            y, _ = self.deep[n].forward(with_adjoint(A), y, initial)
            y, _ = self.epilogues[n].forward(y)
        if len(operators) == self.num_layers:
            y, _ = self.last.forward(linear(y, self.ends[1]))
        return y


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
