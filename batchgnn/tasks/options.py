"""Options of tasks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Which of a task's scores chooses."""

    metric: str | None = None
    """Score that chooses the best epoch: accuracy, micro-f1, macro-f1 or roc-auc of classes; rmse,
    mae or r2 of numbers; mrr, ap or roc-auc of events. [default: accuracy; micro-f1 for several
    labels; rmse for numbers; mrr for events]"""

    @property
    def score(self) -> str:
        """The metric, once resolved."""
        if self.metric is None:
            raise ValueError("the metric is not resolved yet")
        return self.metric


@dataclass(frozen=True, kw_only=True)
class NumberLoss:
    """What is minimised where labels are numbers."""

    loss: Literal["mse", "mae"] = "mse"
    "Mean squared error, or mean absolute error, over the seeds of a step."


@dataclass(frozen=True, kw_only=True)
class EventLoss:
    """What is minimised where events are predicted."""

    event_loss: Literal["bce", "softmax"] = "bce"
    """A binary cross-entropy of the vertex that was met and of those that were not, or the
    cross-entropy of a softmax among all of them."""
