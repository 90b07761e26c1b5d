"""What a model is asked for: by modes, exact inference, memory plans and the export."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.operator import Aggregation, InputOperator, Matrix, Saved
from batchgnn.nn.parameters import Parameters


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model is, apart from the widths of its input and output."""

    model: str = "sage"
    "A name of `nn.models.MODELS`."
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
    state_width: int = 100
    time_width: int = 100
    state_heads: int = 2
    state_layers: int = 1
    "Of tgn: columns of a vertex's state and of an encoded time, heads and layers of its attention."
    time_encoder: Literal["learned", "fixed"] = "fixed"
    residual: bool = False
    "Hidden layers of equal width add their input to their output."


class Model(Protocol):
    """Layers over graph operators, one operator a layer, from the input to the output.

    num_layers   operators that it takes
    widths       of the rows before, between and after its layers: features, hidden ones, outputs
    aggregation  what its operators hold
    parameters   all weights in one buffer, under PyG's names, and those of a task's head
    """

    spec: ModelSpec
    num_layers: int
    widths: list[int]
    aggregation: Aggregation
    parameters: Parameters

    def forward(
        self,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, Saved]:
        """Rows of the last operator's targets (n, outputs), and what `backward` needs.

        x: the rows of the first operator's sources
        stream: the dropouts of a step of training; None elsewhere
        """

    def backward(self, dy: np.ndarray, saved: Saved, need_dx: bool = False) -> np.ndarray | None:
        """Overwrite the model's own part of `parameters.grad`; dy, of the outputs, is used up.

        need_dx: whether the gradient of x is returned, which must not have been dropped out
        """

    def evaluate(self, operators: Sequence[InputOperator], x: Matrix) -> np.ndarray:
        """Rows after the first len(operators) layers, without dropout; nothing is kept of them."""


@runtime_checkable
class LayeredModel(Model, Protocol):
    """A model whose layers need no more than the rows of the layer below."""

    def layer_forward(self, n: int, A: InputOperator, x: Matrix) -> np.ndarray:
        """Layer n alone, without dropout: what exact layer-by-layer inference needs."""


@runtime_checkable
class StagedModel(Model, Protocol):
    """A model that computes a run of its layers alone: rows go in from the layer below, or out."""

    def entering_width(self, n: int) -> int:
        """Columns of the rows that enter layer n, and that layer n - 1 hands on; n >= 1."""

    def forward_layers(
        self,
        first: int,
        operators: Sequence[InputOperator],
        x: Matrix,
        stream: DropoutStream | None,
    ) -> tuple[np.ndarray, Saved]:
        """As `forward`, of the layers first, first + 1, ... alone, as many as there are operators.

        x: input rows of the model where first is 0, else what the layers before have returned
        """

    def backward_layers(
        self, first: int, dy: np.ndarray, saved: Saved, need_dx: bool = False
    ) -> np.ndarray | None:
        """As `backward`, of these layers; the gradient of x where `first` > 0, or it is needed."""


def staged(model: Model) -> StagedModel:
    """The model itself; TypeError where its layers cannot be computed run by run."""
    if not isinstance(model, StagedModel):
        raise TypeError(f"{model.spec.model} has no layers that can be parted")
    return model


def layered(model: Model) -> LayeredModel:
    """The model itself; TypeError where it is evaluated over the whole graph alone."""
    if not isinstance(model, LayeredModel):
        raise TypeError(f"{model.spec.model} has no layers that can be computed one by one")
    return model
