"""Classes of events: of the event itself, or of its source at that time; -1 = none.

Labels are never read by the model: they are what its rows are compared with.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.comm.grid import Comm
from batchgnn.kernels.loss import softmax
from batchgnn.nn.init import Declared, kaiming, zeros
from batchgnn.nn.loss import softmax_loss
from batchgnn.nn.products import column_sums, multiply, multiply_columns
from batchgnn.settings.settings import Settings
from batchgnn.store.event_stream import EventStream
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.seeds import SPLITS
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.class_scores import class_score
from batchgnn.tasks.options import Scoring, Trained
from batchgnn.tasks.score import Score
from batchgnn.tasks.stream import StreamTask, of_events
from batchgnn.tasks.task import Inference, Loss, Roots, Seeds


class EventLabels(StreamTask):
    """The class of an event by both ends' rows: [x_u | x_v] W + b; softmax and cross-entropy."""

    seeds_are = "events with a label"
    metrics: tuple[str, ...] = ("micro-f1", "macro-f1", "roc-auc")
    num_classes = 0
    _stream: EventStream | None = None

    def width(self, manifest: Manifest) -> int:
        """Columns of the model's rows. Raises StoreError where there are not two classes."""
        self.num_classes = manifest.num_classes
        if self.num_classes < 2:
            raise StoreError(
                f"the events of {manifest.name} have labels of {self.num_classes} classes, needed "
                "two or more: convert the stream with --label COLUMN: batchgnn data convert events "
                "--help"
            )
        return self._width

    def head(self) -> Mapping[str, Declared]:
        """The decoder."""
        weight = kaiming(2 * self._width, self.num_classes)
        return {"decoder.W": weight, "decoder.b": zeros(self.num_classes)}

    def seeds(self, own: OwnShards, split_index: int) -> Seeds:
        """The training events; none where none of them has a label."""
        found = super().seeds(own, split_index)
        if (self._labels(own)[: found.total] >= 0).any():
            return found
        return Seeds(found.own, np.zeros_like(found.counts))

    def _events(self, own: OwnShards) -> EventStream:
        """The whole stream, whose labels are held from now on."""
        if self._stream is None:
            self._stream = EventStream(own.whole)
        return self._stream

    def _labels(self, own: OwnShards) -> np.ndarray:
        """int32 (E,)."""
        label = self._events(own).label
        return np.empty(0, np.int32) if label is None else label

    def roots(self, own: OwnShards, seeds: np.ndarray, epoch: int = 0, step: int = 0) -> Roots:
        """The events' own vertices, and labels."""
        return Roots(seeds, self._labels(own)[seeds], len(seeds))

    def num_logits(self, num_negatives: int) -> int:
        """One for each class."""
        return self.num_classes

    def logits(self, rows: np.ndarray, num_events: int) -> tuple[np.ndarray, Any]:
        """((C, B) logits; (B, 2 d) rows of both ends)."""
        ends = np.concatenate([rows[:num_events], rows[num_events : 2 * num_events]], axis=1)
        return (multiply(ends, self.p["W"]) + self.p["b"]).T, ends

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """Summed over the events; 0 of one that has no label."""
        logits, saved = self.logits(rows, roots.num_seeds)
        total, slope = softmax_loss(np.ascontiguousarray(logits.T), roots.targets, scale)
        return Loss(total, self._backward(rows, saved, slope))

    def _backward(self, rows: np.ndarray, ends: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Gradient by the rows; slope (B, C): by the logits."""
        multiply_columns(ends, slope, self.grads["W"])
        column_sums(slope, self.grads["b"])
        return np.concatenate(np.split(multiply(slope, self.p["W"].T), 2, axis=1))

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Of each class."""
        out = np.ascontiguousarray(logits.T, np.float32)
        softmax(out, out)
        return out

    def scores(
        self, comm: Comm, own: OwnShards, inference: Inference, splits: Mapping[str, np.ndarray]
    ) -> dict[str, list[Score]]:
        """Of the events with a label of each split, all of `metrics`; collective."""
        found, part = of_events(inference).of_splits(*splits), self._events(own).split
        label = self._labels(own)
        return {
            name: self._score(comm, each, label[part == SPLITS[name]])
            for name, each in found.items()
        }

    def _score(self, comm: Comm, logits: np.ndarray, labels: np.ndarray) -> list[Score]:
        """Ranks, which all have the logits (C, E), count an equal part each."""
        mine = slice(comm.rank, None, comm.size)
        rows, label = np.ascontiguousarray(logits.T[mine]), labels[mine]
        names = sorted(self.metrics, key=lambda name: name != self.metric)
        return [Score(name, class_score(comm, rows, label, name)) for name in names]


class VertexLabels(EventLabels):
    """The class of an event's source at that time, by its row: ReLU(x_u W_1 + b_1) W_2 + b_2.

    The rows are those of a model that another run has trained, and are not moved: dynamic vertex
    classification as JODIE and TGN have it (arXiv:2006.10637, section 5). Deviation: one hidden
    layer as wide as the rows, without dropout.
    """

    metrics = ("roc-auc", "macro-f1", "micro-f1")
    trains_model = False

    def head(self) -> Mapping[str, Declared]:
        """The decoder."""
        d, c = self._width, self.num_classes
        return {
            "decoder.W_1": kaiming(d, d),
            "decoder.b_1": zeros(d),
            "decoder.W_2": kaiming(d, c),
            "decoder.b_2": zeros(c),
        }

    def logits(self, rows: np.ndarray, num_events: int) -> tuple[np.ndarray, Any]:
        """((C, B) logits; (B, d) what ReLU left)."""
        active = multiply(rows[:num_events], self.p["W_1"]) + self.p["b_1"]
        np.maximum(active, 0, out=active)
        return (multiply(active, self.p["W_2"]) + self.p["b_2"]).T, active

    def _backward(self, rows: np.ndarray, active: np.ndarray, slope: np.ndarray) -> np.ndarray:
        p, grads, num_events = self.p, self.grads, len(slope)
        multiply_columns(active, slope, grads["W_2"])
        column_sums(slope, grads["b_2"])
        dactive = multiply(slope, p["W_2"].T)
        dactive *= active > 0
        multiply_columns(rows[:num_events], dactive, grads["W_1"])
        column_sums(dactive, grads["b_1"])
        drows = np.zeros_like(rows)
        multiply(dactive, p["W_1"].T, drows[:num_events])
        return drows


def make_event_labels(settings: Settings) -> EventLabels:
    """The task of the settings."""
    return EventLabels(settings[Scoring].score, settings.options()["state_width"])


def make_vertex_labels(settings: Settings) -> VertexLabels:
    """The task of the settings."""
    return VertexLabels(settings[Scoring].score, settings.options()["state_width"])


def require_trained(settings: Settings) -> None:
    """Raise ConfigError where no run is named whose rows are taken."""
    if settings[Trained].trained is None:
        raise ConfigError(
            "--task vertex-labels learns from the rows of a model that is trained already: give "
            "--trained RUN, a run of --task events or event-labels on these shards."
        )
