"""What tasks on a stream of events share: a seed is an event of the training part.

The model's rows come in groups of as many events: sources, targets, then negatives, if any.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.nn.init import Declared
from batchgnn.nn.parameters import Parameters
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.task import NO_FACTS, ClassCounts, Inference, Loss, Roots, Seeds

DECODER = "decoder."
"The parameters of a head begin so."


@runtime_checkable
class EventInference(Protocol):
    """What a mode of events gives for scores; collective."""

    batch_size: int
    "Events that were scored at a time."

    def is_new(self, split: str) -> np.ndarray:
        """bool (E,): which events of a split have an end that no training event has."""

    def of_splits(self, *splits: str) -> dict[str, np.ndarray]:
        """Logits (k, E) of the events of each split, as of `StreamTask.logits`; by name."""


class StreamTask:
    """A task on events; subclasses have the head, the loss and the scores.

    trains_model  whether the model is trained; else its rows are taken as they are
    """

    seeds_are, unit = "events of the stream", "event"
    facts = NO_FACTS
    class_counts: ClassCounts | None = None
    trains_model = True

    def __init__(self, metric: str, width: int):
        """metric: of `scores`, the one that chooses; width: of a row."""
        self.metric, self._width = metric, width

    def width(self, manifest: Manifest) -> int:
        """Columns of the model's rows."""
        return self._width

    head: Callable[[], Mapping[str, Declared]]
    "The decoder, behind the model's parameters."

    def attach(self, parameters: Parameters) -> None:
        """Keep the decoder's parameters and gradients."""
        self.p, self.grads = parameters.scope(DECODER), parameters.scope_grads(DECODER)

    def seeds(self, own: OwnShards, split_index: int) -> Seeds:
        """Numbers of the training events in the runs of own shards: the first of the stream."""
        counts = own.manifest.num_seeds[:, split_index]
        first = [own.manifest.event_run(int(s)).start for s in own.shards]
        mine = [
            np.arange(begin, begin + counts[s]) for s, begin in zip(own.shards, first, strict=True)
        ]
        return Seeds(mine, counts)

    def roots(self, own: OwnShards, seeds: np.ndarray, epoch: int = 0, step: int = 0) -> Roots:
        """As many roots as the mode asks for, of events by their numbers."""
        return Roots(seeds, np.empty(0, np.int64), len(seeds))

    num_logits: Callable[[int], int]
    "k of `logits`, by the number of an event's negatives."

    logits: Callable[[np.ndarray, int], tuple[np.ndarray, Any]]
    "((k, B) logits of rows (groups x B, d) of B events, what `loss` needs of them)."

    probability: Callable[[np.ndarray], np.ndarray]
    "Of logits (k, n): float32 (n,) or (n, classes)."

    loss: Callable[[np.ndarray, Roots, float], Loss]
    "As `Task.loss`."

    def totals(self) -> dict[str, Any]:
        """What result.json tells besides scores, of the splits that were scored last."""
        return {}

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """Raises ConfigError: what is predicted are events, not vertices."""
        raise ConfigError(
            "predict writes a row for each vertex, and this run was trained on events: "
            "give it pairs of vertices, --pairs FILE, or let batchgnn evaluate RUN score them."
        )


def of_events(inference: Inference) -> EventInference:
    """The inference itself; TypeError where it is of vertices."""
    if not isinstance(inference, EventInference):
        raise TypeError("events are scored by a mode of events")
    return inference
