"""A stage: some consecutive layers, forward and backward of a chunk after another."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.model import StagedModel
from batchgnn.nn.operator import InputOperator, Saved
from batchgnn.operators.history import ChunkedGraph, ChunkOperator, GradientRule, History


class Inputs(Protocol):
    """The model's input rows, and the first layer's aggregation of them where that is kept."""

    def rows(self, chunk: int) -> np.ndarray:
        """(n, D) of a chunk; (n, 0) where only their aggregation is read."""

    def operator(self, chunk: int) -> InputOperator | None:
        """Of the first layer, where its aggregation is kept."""


class Stage:
    """Layers of a model over a chunked graph, with what their chunks leave for each other.

    histories  by layer, but for a first one whose aggregation is kept
    """

    def __init__(
        self,
        model: StagedModel,
        graph: ChunkedGraph,
        layers: range,
        rule: GradientRule,
        inputs: Inputs,
        *,
        seed: int,
        recompute: bool,
    ):
        """inputs: read where layer 0 is among the layers; recompute: layers again in backward."""
        self.model, self.graph, self.layers, self.inputs = model, graph, layers, inputs
        self.seed, self.recompute, self.epoch = seed, recompute, 0
        self.histories: dict[int, History] = {}
        self.operators = [self._operators(k, rule) for k in range(graph.num_chunks)]
        self.gradient = np.zeros_like(model.parameters.grad)
        self.saved: dict[int, Saved] = {}

    @property
    def is_first(self) -> bool:
        """Whether the model's input rows enter here."""
        return self.layers.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the model's outputs leave here."""
        return self.layers.stop == self.model.num_layers

    def begin(self, epoch: int) -> None:
        """Nothing is added up yet."""
        self.epoch = epoch
        self.gradient[:] = 0
        self.model.parameters.grad[:] = 0
        for history in self.histories.values():
            history.begin_backward()

    def forward(self, chunk: int, x: np.ndarray) -> np.ndarray:
        """Rows of the last layer of a chunk whose rows of the layer before are x."""
        y, saved = self._layers(chunk, x)
        if self.recompute:
            saved = None if self.is_first else x
        self.saved[chunk] = saved
        return y

    def backward(self, chunk: int, dy: np.ndarray, *, is_snapshot: bool) -> np.ndarray | None:
        """The gradient of x from that of `forward`'s result, which is used up; None of inputs.

        Chunks go backward in the reversed order: what a chunk read is in the histories again.
        """
        saved = self.saved.pop(chunk)
        if self.recompute:
            x = self.inputs.rows(chunk) if self.is_first else saved
            saved = self._saved_again(chunk, x)
        dx = self.model.backward_layers(self.layers.start, dy, saved)
        self.add_gradient()
        for history in self.histories.values():
            history.put_back(chunk, is_snapshot=is_snapshot)
        return dx

    def add_gradient(self) -> None:
        """What a part of backward has written is added to the sum over the chunks."""
        grad = self.model.parameters.grad
        self.gradient += grad
        grad[:] = 0

    def end(self, *, is_snapshot: bool) -> None:
        """All chunks went backward: `parameters.grad` is the sum."""
        self.model.parameters.grad[:] = self.gradient
        for history in self.histories.values():
            history.end_epoch(is_snapshot=is_snapshot)

    def _saved_again(self, chunk: int, x: np.ndarray) -> Saved:
        for history in self.histories.values():
            history.is_again = True
        _, saved = self._layers(chunk, x)
        for history in self.histories.values():
            history.is_again = False
        return saved

    def _layers(self, chunk: int, x: np.ndarray) -> tuple[np.ndarray, Saved]:
        stream = DropoutStream(self.seed, self.epoch, step=0)
        return self.model.forward_layers(self.layers.start, self.operators[chunk], x, stream)

    def _operators(self, chunk: int, rule: GradientRule) -> Sequence[InputOperator]:
        kept = self.inputs.operator(chunk) if self.is_first else None
        first = [] if kept is None else [kept]
        return [*first, *(self._operator(n, chunk, rule) for n in self.layers[len(first) :])]

    def _operator(self, layer: int, chunk: int, rule: GradientRule) -> ChunkOperator:
        history = self.histories.setdefault(layer, History(self.graph, rule))
        return ChunkOperator(history, chunk)
