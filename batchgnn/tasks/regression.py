"""Vertex regression: a number for each vertex."""

from functools import partial

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.nn.loss import absolute_loss, squared_loss
from batchgnn.settings.settings import Settings
from batchgnn.tasks.options import Losses, Scoring
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Inference, Loss, Roots
from batchgnn.tasks.vertices import VertexTask

LOSSES = {"mse": squared_loss, "mae": absolute_loss}


class Regression(VertexTask):
    """A number for each vertex, float32 (n,), NaN = none; squared or absolute error."""

    def __init__(self, metric: str, loss: str):
        """loss: a name of LOSSES."""
        super().__init__(metric)
        self._loss = LOSSES[loss]

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (n, 1)."""
        return Loss(*self._loss(rows, roots.targets, scale))

    def score(self, comm: Comm, logits: np.ndarray, labels: np.ndarray) -> list[Score]:
        """Root of the mean square, mean absolute error, share of the variance; collective."""
        scores = number_scores(comm, logits[:, 0], labels)
        return sorted(scores, key=lambda each: each.name != self.metric)

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """`number`, float32 (num_own,); collective."""
        return {"number": inference.logits()[:, 0].astype(np.float32)}


def make_regression(settings: Settings) -> Regression:
    """The task of the settings."""
    return Regression(settings[Scoring].score, settings[Losses].chosen)


def number_scores(comm: Comm, predicted: np.ndarray, labels: np.ndarray) -> list[Score]:
    """rmse, mae and r2 = 1 - squared error / squared distance from the mean; collective.

    predicted, labels: float (n,), of this rank; NaN labels do not count
    """
    known = np.isfinite(labels)
    labels = labels[known].astype(np.float64)
    error = predicted[known].astype(np.float64) - labels
    total = np.array([len(labels), labels.sum(), np.abs(error).sum(), np.square(error).sum()])
    allreduce_sum(comm, total, "score sums")
    count, label_sum, absolute, squared = total
    spread = np.array([np.square(labels - label_sum / count).sum() if count else 0.0])
    allreduce_sum(comm, spread, "score spread")
    score = partial(_score, bool(count))
    return [
        score("rmse", np.sqrt(squared / max(count, 1))),
        score("mae", absolute / max(count, 1)),
        score("r2", 1 - squared / spread[0] if spread[0] else np.nan),
    ]


def _score(is_known: bool, name: str, value: float) -> Score:
    return Score(name, float(value) if is_known else float("nan"))
