"""The decoupled model: an MLP of the vertices' own features, then propagation of its results.

Neither GCN nor GAT, but another model, as SGC (arXiv:1902.07153) and APPNP (arXiv:1810.05997)
separate the two: logits = A^L z, z = MLP(x), where the MLP has L layers, ReLU and dropout between
them. A is GCN's matrix, or one of attention: A[v, u] = softmax over u of leaky(a_src . z_u +
a_dst . z_v), one head on the columns of the classes, as GAT's last layer has it, and the same in
all L products. Weights and propagation no longer alternate, so rows are dealt as columns once an
epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.epilogue import Epilogue, SavedEpilogue
from batchgnn.nn.init import Declared, glorot, kaiming, kaiming_bias
from batchgnn.nn.linear import dense, linear, linear_onto, weight_gradient
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.operator import (
    Aggregation,
    InputOperator,
    Matrix,
    PropagatingOperator,
    Saved,
    propagating,
)
from batchgnn.nn.parameters import Parameters

AGGREGATIONS: dict[str, Aggregation] = {"decoupled-gcn": "gcn", "decoupled-gat": "attention"}
"Model -> what its operator holds."


class SavedForward(NamedTuple):
    """What `DecoupledModel.backward` needs: of each layer its input, and of the propagation."""

    A: PropagatingOperator
    layers: list[tuple[np.ndarray, SavedEpilogue]]
    z: np.ndarray
    attended: Saved


class DecoupledModel:
    """logits = A^L MLP(x).

    Of the operators, one per layer, the last is used: its `propagate(z, L)` is A^L z of GCN, its
    `attend_rounds(z, scores, dropout, L)` that of attention, and each has its adjoint.
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
        """As `models.make_model`; spec: without norm and residual."""
        if spec.norm != "none" or spec.residual:
            raise ValueError("a decoupled model has no norm, and adds no layer's input to another")
        self.spec, self.num_layers = spec, spec.layers
        self.aggregation = AGGREGATIONS[spec.model]
        self.widths = [num_features, *[spec.hidden] * (spec.layers - 1), num_outputs]
        declared: dict[str, Declared] = {}
        for n, (d_in, d_out) in enumerate(pairwise(self.widths)):
            declared[f"lins.{n}.weight"] = kaiming(d_in, d_out)
            declared[f"lins.{n}.bias"] = kaiming_bias(d_in, d_out)
        if self.aggregation == "attention":  # columns: a_src, a_dst
            declared["attention.weight"] = replace(glorot(num_outputs, 1), shape=(num_outputs, 2))
        self.parameters = Parameters({**declared, **extra}, seed, dtype)
        self.epilogues = [
            Epilogue("none" if n + 1 == spec.layers else "relu", self.parameters[f"lins.{n}.bias"])
            for n in range(spec.layers)
        ]

    def forward(
        self,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, SavedForward]:
        """As `Model.forward`."""
        spec, A = self.spec, propagating(operators[-1])
        y = dense(x)
        if stream and spec.input_dropout:
            y = stream.layer(0, spec.input_dropout)(y, A.source_ids)
        saved = []
        for n in range(self.num_layers):
            between = NO_DROPOUT
            if stream and spec.dropout and n + 1 < self.num_layers:
                between = stream.layer(n + 1, spec.dropout)
            before = y
            y, activated = self._lin(n, A, before, between)
            saved.append((before, activated))
        drop = NO_DROPOUT
        if stream and spec.attention_dropout:
            drop = stream.attention(0, spec.attention_dropout)
        out, attended = self._propagate(A, y, drop)
        return out, SavedForward(A, saved, y, attended)

    def backward(
        self, dy: np.ndarray, saved: SavedForward, need_dx: bool = False
    ) -> np.ndarray | None:
        """As `Model.backward`."""
        layers, grads = saved.layers, self.parameters.grads
        dy = self._propagate_adjoint(dy, saved)
        for n in reversed(range(self.num_layers)):
            x, activated = layers[n]
            dy = self.epilogues[n].backward(dy, activated, grads[f"lins.{n}.bias"])
            weight_gradient(dy, x, grads[f"lins.{n}.weight"])
            if n > 0 or need_dx:
                dy = linear(dy, self.parameters[f"lins.{n}.weight"].T)
        return dy if need_dx else None

    def evaluate(self, operators: Sequence[InputOperator], x: Matrix) -> np.ndarray:
        """The outputs; with fewer operators than layers, so many layers of the MLP alone."""
        y = dense(x)
        for n, A in enumerate(operators):
            y, _ = self._lin(n, A, y, NO_DROPOUT)
        if len(operators) < self.num_layers:
            return y
        return self._propagate(propagating(operators[-1]), y, NO_DROPOUT)[0]

    def _propagate(
        self, A: PropagatingOperator, z: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Saved]:
        """A^L z (n, outputs), and what `_propagate_adjoint` needs."""
        if self.aggregation == "gcn":
            return A.propagate(z, self.num_layers), None
        scores = linear(z, self.parameters["attention.weight"])
        return A.attend_rounds(z, scores, dropout, self.num_layers)

    def _propagate_adjoint(self, dy: np.ndarray, saved: SavedForward) -> np.ndarray:
        """The gradient of z; that of the attention's weight is overwritten."""
        if self.aggregation == "gcn":
            return saved.A.propagate_adjoint(dy, self.num_layers)
        name, grads = "attention.weight", self.parameters.grads
        dz, dscores = saved.A.attend_rounds_adjoint(dy, saved.attended)
        weight_gradient(dscores, saved.z, grads[name])
        linear_onto(dscores, self.parameters[name].T, dz)
        return dz

    def _lin(
        self, n: int, A: InputOperator, x: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, SavedEpilogue]:
        y = linear(x, self.parameters[f"lins.{n}.weight"])
        return self.epilogues[n].forward(y, A.target_ids, dropout)
