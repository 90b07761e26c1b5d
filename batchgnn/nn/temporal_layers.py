"""Several layers of a temporal graph network: attention over rows that attention has made.

A vertex's row at a time is made of its row of the layer below at that time, and of rows of those
whom it met, each at the time of that event, by what was strictly before it; below the first layer
are states. So TGL and DistTGL sample hops (arXiv:2203.14883). A layer has parameters of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from batchgnn.nn.init import Declared
from batchgnn.nn.norm import LayerNorm
from batchgnn.nn.parameters import Parameters
from batchgnn.nn.temporal import Batch, TemporalModel

CHUNK_ROOTS = 4096
"Roots that attend at a time where no gradient is asked for."
OF_A_LAYER = ("attention.", "norm.")


class DeepTemporalModel(TemporalModel):
    """The model with `state_layers` layers of attention; its batches have as many hops."""

    def __init__(self, *args: Any, **options: Any):
        """As `TemporalModel`."""
        super().__init__(*args, **options)
        self.upper = [UpperLayer(self, n) for n in range(2, 1 + self.spec.state_layers)]

    def _declare(self) -> dict[str, Declared]:
        first = super()._declare()
        return first | {
            f"{_scope(n)}{name}": each
            for n in range(2, 1 + self.spec.state_layers)
            for name, each in first.items()
            if name.startswith(OF_A_LAYER)
        }

    def attend(self, batch: Batch, states: np.ndarray, *, training: bool) -> tuple[np.ndarray, Any]:
        """Rows (R, d) of the last hop's roots, and what `attend_backward` needs."""
        rows, saved = states, []
        layers = [super().attend, *(layer.attend for layer in self.upper)]
        for attend, hop in zip(layers, batch.hops(), strict=True):
            parts = [hop] if training else chunks(hop)
            found = [attend(part, rows, training=training) for part in parts]
            rows = found[0][0] if training else np.concatenate([each for each, _ in found])
            saved.append(found[0][1])
        return rows, saved

    def attend_backward(self, drows: np.ndarray, saved: Sequence[Any]) -> np.ndarray:
        """Overwrite the gradients of all layers; returns that of the states (n, d)."""
        for layer, kept in zip(self.upper[::-1], saved[:0:-1], strict=True):
            drows = layer.attend_backward(drows, kept)
        return super().attend_backward(drows, saved[0])


class UpperLayer(TemporalModel):
    """Attention and norm of one layer of a model; its states are the rows of the layer below."""

    def __init__(self, model: TemporalModel, number: int):
        """number: of the layer, from 2 on."""
        self.spec, self.num_features = model.spec, model.num_features
        self.width, self.heads, self.clock = model.width, model.heads, model.clock
        self.parameters = Scoped(model.parameters, _scope(number))
        self.no_bias = model.no_bias
        self.clocks = {"attention": self._fixed_clock("attention")}
        self.norm = LayerNorm(self.parameters.scope("norm."))


class Scoped(Parameters):
    """Those of some parameters whose names begin with a prefix, without it."""

    def __init__(self, parameters: Parameters, prefix: str):
        """Nothing is copied."""
        self.buffer, self.grad = parameters.buffer, parameters.grad
        self._views, self.grads = parameters.scope(prefix), parameters.scope_grads(prefix)


def _scope(number: int) -> str:
    return f"layer{number}."


def chunks(batch: Batch) -> list[Batch]:
    """A hop in parts of consecutive roots, so that encoded times fit into a cache."""
    parts = []
    for begin in range(0, len(batch.root_row), CHUNK_ROOTS):
        rows = slice(begin, begin + CHUNK_ROOTS)
        parts.append(
            batch._replace(
                root_row=batch.root_row[rows],
                neighbor_row=batch.neighbor_row[rows],
                event=batch.event[rows],
                span=batch.span[rows],
            )
        )
    return parts
