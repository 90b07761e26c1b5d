"""Link prediction in time: which of some vertices does a source meet next?

A seed is an event of the training part. Its loss compares the vertex that was met with others that
were not, drawn uniformly among the targets of the whole stream, anew in each epoch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.grid import Comm
from batchgnn.kernels.relu_rows import add_rows_relu, relu_adjoint
from batchgnn.nn.init import Declared, kaiming, zeros
from batchgnn.nn.products import column_sums, multiply, multiply_columns
from batchgnn.settings.settings import Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.options import EventLoss, Negatives, Scoring
from batchgnn.tasks.pair_losses import PAIR_LOSSES
from batchgnn.tasks.ranking import area, average_precision, reciprocal_ranks
from batchgnn.tasks.score import Score
from batchgnn.tasks.stream import StreamTask, of_events
from batchgnn.tasks.task import Inference, Loss, Roots

PARTS = 20
"Of a split's events, for scores along the stream."


class Events(StreamTask):
    """A decoder of two vertices' rows: w . ReLU(x_u W_s + x_v W_t + b) + c.

    Its parameters lie behind the model's.
    """

    def __init__(self, metric: str, loss: str, width: int):
        """loss: softmax or bce."""
        super().__init__(metric, width)
        self._loss = loss
        self.along: dict[str, list[float]] = {}

    def head(self) -> Mapping[str, Declared]:
        """The decoder."""
        d = self._width
        return {
            "decoder.W_source": kaiming(d, d),
            "decoder.W_target": kaiming(d, d),
            "decoder.b": zeros(d),
            "decoder.w": Declared((d,), d**-0.5),
            "decoder.c": zeros(1),
        }

    def num_logits(self, num_negatives: int) -> int:
        """The target's, and one for each negative."""
        return 1 + num_negatives

    def logits(
        self, rows: np.ndarray, num_events: int
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """((1 + n, B) logits, targets first, then n negatives; what `loss` needs of them).

        rows: float ((2 + n) B, d)
        """
        left = multiply(rows[:num_events], self.p["W_source"])
        active = multiply(rows[num_events:], self.p["W_target"])
        positive = np.empty(active.shape, np.bool_)
        event = np.tile(np.arange(num_events, dtype=np.int32), len(rows) // max(num_events, 1) - 1)
        add_rows_relu(active, left, event, self.p["b"], positive)
        logits = active @ self.p["w"] + self.p["c"]
        return logits.reshape(-1, num_events), (active, positive)

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """Of softmax over each event's target and negatives, or of a binary cross-entropy each."""
        logits, kept = self.logits(rows, roots.num_seeds)
        total, slope = PAIR_LOSSES[self._loss](logits)
        slope *= scale
        return Loss(total, self._backward(rows, kept, slope.astype(rows.dtype)))

    def _backward(
        self, rows: np.ndarray, kept: tuple[np.ndarray, np.ndarray], slope: np.ndarray
    ) -> np.ndarray:
        """Gradient by the rows; slope (1 + n, B): by the logits."""
        p, grads, num_events = self.p, self.grads, slope.shape[1]
        active, positive = kept
        np.matmul(slope.reshape(-1), active, out=grads["w"])
        grads["c"][:] = slope.sum()
        right = np.multiply.outer(slope.reshape(-1), p["w"])
        relu_adjoint(right, positive)
        left = right.reshape(-1, num_events, rows.shape[1]).sum(axis=0)
        column_sums(left, grads["b"])
        multiply_columns(rows[:num_events], left, grads["W_source"])
        multiply_columns(rows[num_events:], right, grads["W_target"])
        drows = np.empty_like(rows)
        multiply(left, p["W_source"].T, drows[:num_events])
        multiply(right, p["W_target"].T, drows[num_events:])
        return drows

    def score(self, logits: np.ndarray, is_new: np.ndarray, batch_size: int) -> list[Score]:
        """`metric` first.

        logits  float (1 + n, E): `mrr` ranks a target among all n negatives, by the mean rank of
                ties (`mrr-worst`: by the worst); `ap` and `roc-auc` are over all events with one
                negative each, the first; `batch-ap` is the mean of batches' own, as TGN has it
        is_new  bool (E,): of these alone, with the same negatives: `new-mrr`, `new-ap`,
                `new-roc-auc`; absent where there is none
        """
        found = _scores(logits)
        starts = range(0, logits.shape[1], batch_size)
        batches = [_pairs(logits[:, begin : begin + batch_size]) for begin in starts]
        if batches:
            found["batch-ap"] = float(np.mean([average_precision(*pair) for pair in batches]))
        if is_new.any():
            new = _scores(logits[:, is_new])
            found |= {f"new-{name}": new[name] for name in ("mrr", "ap", "roc-auc")}
        scores = [Score(name, value) for name, value in found.items()]
        return sorted(scores, key=lambda each: each.name != self.metric)

    def scores(
        self, comm: Comm, own: OwnShards, inference: Inference, splits: Mapping[str, np.ndarray]
    ) -> dict[str, list[Score]]:
        """Of the events of each split, in the order of time; collective."""
        events = of_events(inference)
        found = events.of_splits(*splits)
        self.along = {name: ranks_along(each) for name, each in found.items()}
        new, size = events.is_new, events.batch_size
        return {name: self.score(each, new(name), size) for name, each in found.items()}

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """That a source meets its target."""
        return (1 / (1 + np.exp(-logits[0].astype(np.float64)))).astype(np.float32)

    def totals(self) -> dict[str, Any]:
        """mrr along each split."""
        return {"mrr_along": self.along}


def ranks_along(logits: np.ndarray) -> list[float]:
    """mrr of up to PARTS consecutive and about equal parts of the events."""
    ranks = reciprocal_ranks(logits)[0]
    return [float(part.mean()) for part in np.array_split(ranks, PARTS) if len(part)]


def _pairs(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(logits of targets, then of their first negatives; which are targets)."""
    return logits[:2].ravel(), np.repeat([True, False], logits.shape[1])


def _scores(logits: np.ndarray) -> dict[str, float]:
    """Of all columns together; nan of none."""
    mean, worst = reciprocal_ranks(logits)
    return {
        "mrr": float(mean.mean()) if len(mean) else float("nan"),
        "ap": average_precision(*_pairs(logits)),
        "roc-auc": area(*_pairs(logits)),
        "mrr-worst": float(worst.mean()) if len(worst) else float("nan"),
    }


def make_events(settings: Settings) -> Events:
    """The task of the settings."""
    options = settings.options()
    return Events(settings[Scoring].score, settings[EventLoss].event_loss, options["state_width"])


def require_even_negatives(settings: Settings) -> None:
    """Raise ConfigError where others are drawn in a way that is of links alone."""
    kind, _ = settings[Negatives].drawn
    if kind != "uniform":
        raise ConfigError(
            f"--negatives {settings[Negatives].negatives} is of --task links, and these are "
            "events: give a number."
        )
