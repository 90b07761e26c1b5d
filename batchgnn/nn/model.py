"""A model: convolutions with epilogues between them, over any graph operators."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from batchgnn.base import buffers
from batchgnn.kernels.aggregate import join_rows
from batchgnn.kernels.spmm import ADDED
from batchgnn.nn.conv import CONVOLUTIONS, Matrix
from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.epilogue import Epilogue
from batchgnn.nn.init import Declared
from batchgnn.nn.linear import dense
from batchgnn.nn.norm import NORMS
from batchgnn.nn.parameters import Parameters


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model is, apart from the widths of its input and output."""

    model: Literal["sage", "gcn", "gin", "gat", "gcnii"] = "sage"
    layers: int = 3
    hidden: int = 256
    "Width of the hidden layers; for gat heads x width of a head."
    heads: int = 4
    "Heads of gat's hidden layers; its last layer has one."
    dropout: float = 0.0
    input_dropout: float = 0.0
    attention_dropout: float = 0.0
    norm: Literal["none", "layer", "batch"] = "none"
    alpha: float = 0.1
    theta: float = 0.5
    "Of gcnii: the share of the first layer's rows in each layer, and how much weights count."
    residual: bool = False
    "Hidden layers of equal width add their input to their output."


class Model:
    """Layers of one kind: convolution, bias, norm, activation, dropout; the last has only a bias.

    widths      layers + 1 numbers: features, hidden ones, classes
    parameters  all weights in one buffer, under PyG's names
    aggregation what `operators.local.LocalOperator` must be built with
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
        """seed: of the initial weights, the same on every rank."""
        self.spec, self.num_layers = spec, spec.layers
        self.widths = [num_features, *[spec.hidden] * (spec.layers - 1), num_classes]
        kind = CONVOLUTIONS[spec.model]
        self.aggregation = kind.aggregation
        self.parameters = Parameters(_declare(spec, self.widths), seed, dtype)
        self.convs = [kind(self.parameters.scope(f"convs.{n}.")) for n in range(spec.layers)]
        self.epilogues = [self._epilogue(n) for n in range(spec.layers)]

    def forward(
        self, operators, x: Matrix, *, seed: int, epoch: int, step: int, training: bool
    ) -> tuple[np.ndarray, Any]:
        """Logits (targets of the last operator, classes) and what `backward` needs.

        operators: one per layer, from the input to the output; x: those of the first one's sources.
        seed, epoch, step: the keys of dropout, which only training has.
        """
        spec, stream = self.spec, DropoutStream(seed, epoch, step) if training else None
        if stream and spec.input_dropout:
            x = stream.layer(0, spec.input_dropout)(dense(x), operators[0].source_ids)
        y: Any = x
        saved = []
        for n, A in enumerate(operators):
            attention = between = NO_DROPOUT
            if stream and spec.attention_dropout:
                attention = stream.attention(n, spec.attention_dropout)
            if stream and spec.dropout and n + 1 < self.num_layers:
                between = stream.layer(n + 1, spec.dropout)
            y, of_layer = self._layer(n, A, y, attention, between, training)
            saved.append(of_layer)
        return y, saved

    def backward(self, dlogits: np.ndarray, saved) -> None:
        """Fill `parameters.grad` from the gradient of the logits, which is used up."""
        dy = dlogits
        for n in reversed(range(self.num_layers)):
            conv_saved, epilogue_saved, A_residual = saved[n]
            grads = self.parameters.scope_grads(f"convs.{n}.")
            norm_grads = self.parameters.scope_grads(f"norms.{n}.")
            dbias = grads[self.convs[n].bias_name]
            passed = dy.copy() if A_residual is not None else dy
            dy = self.epilogues[n].backward(dy, epilogue_saved, dbias, norm_grads)
            dy = self.convs[n].backward(dy, conv_saved, grads, need_dx=n > 0)
            if A_residual is not None:
                A_residual.add_targets(dy, passed)

    def evaluate(self, operators, x: Matrix) -> np.ndarray:
        """Output of the first len(operators) layers, without dropout; nothing is kept of them."""
        y: Any = x
        for n, A in enumerate(operators):
            y = self.layer_forward(n, A, y)
        return y

    def layer_forward(self, n: int, A, x: Matrix) -> np.ndarray:
        """Layer n alone, without dropout: what exact layer-by-layer inference needs."""
        return self._layer(n, A, x, NO_DROPOUT, NO_DROPOUT, training=False)[0]

    def _layer(self, n: int, A, x, attention: Dropout, between: Dropout, training: bool):
        y, conv_saved = self.convs[n].forward(A, x, attention)
        y, epilogue_saved = self.epilogues[n].forward(y, A.target_ids, between, A, training)
        if not self._is_residual(n):
            return y, (conv_saved, epilogue_saved, None)
        out = buffers.empty(y.shape, y.dtype)
        join_rows(y, A.targets(x), ADDED, out)
        return out, (conv_saved, epilogue_saved, A)

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
        return Epilogue("elu" if self.spec.model == "gat" else "relu", bias, norm)


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
