"""The decoupled model: an MLP of the vertices' own features, then propagation of its results.

Neither GCN nor GAT, but another model, as SGC (arXiv:1902.07153) and APPNP (arXiv:1810.05997)
separate the two: logits = A^L z, z = MLP(x), where the MLP has L layers, ReLU and dropout between
them. A is GCN's matrix, or one of attention: A[v, u] = softmax over u of leaky(a_src . z_u +
a_dst . z_v), one head on the columns of the classes, as GAT's last layer has it, and the same in
all L products. Weights and propagation no longer alternate, so rows are dealt as columns once an
epoch.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from batchgnn.nn.conv import Matrix
from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.epilogue import Epilogue
from batchgnn.nn.init import Declared, glorot, kaiming, kaiming_bias
from batchgnn.nn.linear import dense, linear, linear_backward
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.parameters import Parameters

AGGREGATIONS = {"gcn": "gcn", "gat": "attention"}
"Model that is decoupled -> what its operator holds."


class DecoupledModel(Model):
    """logits = A^L MLP(x); the interface, the widths and the settings of `Model`.

    Of the operators, one per layer, the last is used: its `propagate(z, L)` is A^L z of gcn, its
    `attend_rounds(z, scores, dropout, L)` that of gat, and each has its adjoint.
    """

    def __init__(
        self,
        spec: ModelSpec,
        num_features: int,
        num_classes: int,
        *,
        seed: int = 0,
        dtype=np.float32,
    ):
        """spec: of model gcn or gat, without norm and residual; seed: of the initial weights."""
        if spec.model not in AGGREGATIONS or spec.norm != "none" or spec.residual:
            raise ValueError("a decoupled model propagates as GCN or GAT, and has no norm")
        self.spec, self.num_layers = spec, spec.layers
        self.aggregation = AGGREGATIONS[spec.model]
        self.widths = [num_features, *[spec.hidden] * (spec.layers - 1), num_classes]
        declared: dict[str, Declared] = {}
        for n, (d_in, d_out) in enumerate(pairwise(self.widths)):
            declared[f"lins.{n}.weight"] = kaiming(d_in, d_out)
            declared[f"lins.{n}.bias"] = kaiming_bias(d_in, d_out)
        if self.aggregation == "attention":  # columns: a_src, a_dst
            declared["attention.weight"] = replace(glorot(num_classes, 1), shape=(num_classes, 2))
        self.parameters = Parameters(declared, seed, dtype)
        self.epilogues = [
            Epilogue("none" if n + 1 == spec.layers else "relu", self.parameters[f"lins.{n}.bias"])
            for n in range(spec.layers)
        ]

    def forward(
        self, operators, x: Matrix, *, seed: int, epoch: int, step: int, training: bool
    ) -> tuple[np.ndarray, Any]:
        """Logits (num_own, classes) and what `backward` needs; arguments as `Model.forward`."""
        spec, A = self.spec, operators[-1]
        stream = DropoutStream(seed, epoch, step) if training else None
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
        logits, attended = self._propagate(A, y, drop)
        return logits, (A, saved, y, attended)

    def backward(self, dlogits: np.ndarray, saved) -> None:
        """Fill `parameters.grad` from the gradient of the logits."""
        A, layers, z, attended = saved
        dy = self._propagate_adjoint(A, dlogits, z, attended)
        for n in reversed(range(self.num_layers)):
            x, activated = layers[n]
            weight, grads = self.parameters[f"lins.{n}.weight"], self.parameters.grads
            dy = self.epilogues[n].backward(dy, activated, grads[f"lins.{n}.bias"])
            dy = linear_backward(dy, x, weight, grads[f"lins.{n}.weight"], need_dx=n > 0)

    def evaluate(self, operators, x: Matrix) -> np.ndarray:
        """The logits; with fewer operators than layers, so many layers of the MLP alone."""
        y = dense(x)
        for n, A in enumerate(operators):
            y, _ = self._lin(n, A, y, NO_DROPOUT)
        if len(operators) < self.num_layers:
            return y
        return self._propagate(operators[-1], y, NO_DROPOUT)[0]

    def layer_forward(self, n: int, A, x: Matrix) -> np.ndarray:
        """Refused: only an inference over the whole graph evaluates this model."""
        raise NotImplementedError("a decoupled model is evaluated over the whole graph")

    def _propagate(self, A, z: np.ndarray, dropout: Dropout) -> tuple[np.ndarray, Any]:
        """A^L z (num_own, classes), and what `_propagate_adjoint` needs."""
        if self.aggregation == "gcn":
            return A.propagate(z, self.num_layers), None
        scores = linear(z, self.parameters["attention.weight"])
        return A.attend_rounds(z, scores, dropout, self.num_layers)

    def _propagate_adjoint(self, A, dlogits: np.ndarray, z: np.ndarray, attended) -> np.ndarray:
        """The gradient of z; that of the attention's weight is overwritten."""
        if self.aggregation == "gcn":
            return A.propagate_adjoint(dlogits, self.num_layers)
        name, grads = "attention.weight", self.parameters.grads
        dz, dscores = A.attend_rounds_adjoint(dlogits, attended)
        linear_backward(dscores, z, self.parameters[name], grads[name], onto=dz)
        return dz

    def _lin(self, n: int, A, x: np.ndarray, dropout):
        y = linear(x, self.parameters[f"lins.{n}.weight"])
        return self.epilogues[n].forward(y, A.target_ids, dropout)
