"""Vertex classification: one class for each vertex, or several."""

import numpy as np

from batchgnn.comm.grid import Comm
from batchgnn.kernels.loss import sigmoid, softmax
from batchgnn.nn.loss import sigmoid_loss, softmax_loss, weighted_softmax_loss
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.class_scores import class_counts, class_score
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Inference, Loss, Roots
from batchgnn.tasks.vertices import VertexTask


class Classes(VertexTask):
    """One class for each vertex, int32 (n,), -1 = none; softmax and cross-entropy.

    class_weights  float32 (classes,), what a vertex counts by its class; None: all the same
    """

    class_weights: np.ndarray | None = None

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (n, classes)."""
        if self.class_weights is not None:
            return Loss(*weighted_softmax_loss(rows, roots.targets, scale, self.class_weights))
        return Loss(*softmax_loss(rows, roots.targets, scale))

    def score(self, comm: Comm, logits: np.ndarray, labels: np.ndarray) -> list[Score]:
        """The chosen metric; collective."""
        return [Score(self.metric, class_score(comm, logits, labels, self.metric))]

    def class_counts(
        self, comm: Comm, own: OwnShards, inference: Inference, rows: np.ndarray
    ) -> np.ndarray:
        """As `task.ClassCounts`; collective."""
        return class_counts(comm, inference.logits()[rows], own.label[rows])

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """`probability`, float32 (num_own, classes); collective."""
        logits = inference.logits()
        softmax(logits, logits)
        return {"probability": logits}


class ManyLabels(Classes):
    """Any number of classes for each vertex, uint8 (n, classes); a binary cross-entropy each."""

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (n, classes); the mean over classes, as torch has it."""
        return Loss(*sigmoid_loss(rows, roots.targets, scale))

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """`probability`, float32 (num_own, classes), each by itself; collective."""
        logits = inference.logits()
        sigmoid(logits, logits)
        return {"probability": logits}
