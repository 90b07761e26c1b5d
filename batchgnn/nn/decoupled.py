"""The decoupled model: an MLP of the vertices' own features, then propagation of its results.

Not GCN, but another model, as SGC (arXiv:1902.07153) and APPNP (arXiv:1810.05997) separate the two:
logits = A^L MLP(x), where the MLP has L layers, ReLU and dropout between them, and A is GCN's
matrix. Weights and propagation no longer alternate, so rows are dealt as columns once an epoch.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from batchgnn.nn.conv import Matrix
from batchgnn.nn.dropout import NO_DROPOUT, DropoutStream
from batchgnn.nn.epilogue import Epilogue
from batchgnn.nn.init import Declared, kaiming, kaiming_bias
from batchgnn.nn.linear import dense, linear, linear_backward
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.parameters import Parameters


class DecoupledModel(Model):
    """logits = A^L MLP(x); the interface, the widths and the settings of `Model`.

    Of the operators, one per layer, the last is used: its `propagate(z, L)` is A^L z, and
    `propagate_adjoint` its adjoint.
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
        """spec: of model gcn, without norm and residual; seed: of the initial weights."""
        if spec.model != "gcn" or spec.norm != "none" or spec.residual:
            raise ValueError("a decoupled model propagates by GCN's matrix, and has no norm")
        self.spec, self.num_layers, self.aggregation = spec, spec.layers, "gcn"
        self.widths = [num_features, *[spec.hidden] * (spec.layers - 1), num_classes]
        declared: dict[str, Declared] = {}
        for n, (d_in, d_out) in enumerate(pairwise(self.widths)):
            declared[f"lins.{n}.weight"] = kaiming(d_in, d_out)
            declared[f"lins.{n}.bias"] = kaiming_bias(d_in, d_out)
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
        return A.propagate(y, self.num_layers), (A, saved)

    def backward(self, dlogits: np.ndarray, saved) -> None:
        """Fill `parameters.grad` from the gradient of the logits."""
        A, layers = saved
        dy = A.propagate_adjoint(dlogits, self.num_layers)
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
        return (
            operators[-1].propagate(y, self.num_layers) if len(operators) == self.num_layers else y
        )

    def layer_forward(self, n: int, A, x: Matrix) -> np.ndarray:
        """Refused: only an inference over the whole graph evaluates this model."""
        raise NotImplementedError("a decoupled model is evaluated over the whole graph")

    def _lin(self, n: int, A, x: np.ndarray, dropout):
        y = linear(x, self.parameters[f"lins.{n}.weight"])
        return self.epilogues[n].forward(y, A.target_ids, dropout)
