"""Options of tasks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from batchgnn.settings.checks import AT_LEAST_ONE

EVAL_NEGATIVES = 49


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Which of a task's scores chooses."""

    metric: str | None = None
    """Score that chooses the best epoch: accuracy, micro-f1, macro-f1 or roc-auc of classes; rmse,
    mae or r2 of numbers; mrr, ap or roc-auc of events. [default: accuracy; micro-f1 for several
    labels and of events' labels; rmse for numbers; mrr for events; roc-auc of vertices' labels]"""

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


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """What events that happened are compared with: vertices that were not met."""

    negatives: Annotated[int, AT_LEAST_ONE] = 1
    "Vertices that an event's target is compared with in training, drawn anew in each epoch."

    eval_negatives: Annotated[int, AT_LEAST_ONE] = EVAL_NEGATIVES
    """Vertices that an event's target is ranked among in scores: the same in every run, and never
    the target itself."""

    eval_negatives_file: str | None = None
    """A .npy file of your ids, a row for each event behind training's: the vertices that its target
    is ranked among, in place of drawn ones, as benchmarks publish them. Not with
    --eval-negatives."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The run whose model gives the rows that labels of vertices are learned from."""

    trained: str | None = None
    """Run on the same shards, of --task events or event-labels, whose best model is taken and not
    moved; the options of its model and of how it walks the stream are taken with it."""
