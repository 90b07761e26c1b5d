"""Options of tasks."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from batchgnn.settings.checks import AT_LEAST_ONE

EVAL_NEGATIVES = 49


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Which of a task's scores chooses."""

    metric: str | None = None
    """Score that chooses the best epoch: accuracy, micro-f1, macro-f1 or roc-auc of classes; rmse,
    mae or r2 of numbers; mrr, ap or roc-auc of events and of links, and hits@10 of links. [default:
    accuracy; micro-f1 for several labels and of events' labels; rmse for numbers; mrr for events
    and links; roc-auc of vertices' labels]"""

    @property
    def score(self) -> str:
        """The metric, once resolved."""
        if self.metric is None:
            raise ValueError("the metric is not resolved yet")
        return self.metric


@dataclass(frozen=True, kw_only=True)
class ClassWeights:
    """What a vertex counts in the loss, by its class."""

    class_weights: str | None = None
    """What a vertex counts in the loss by its class: balanced, all classes together the same; or a
    file, .npy or text, of a number for each class in their order. They are scaled to be 1 on
    average over the training vertices. [default: all the same]"""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What is minimised, of numbers and of links."""

    loss: Literal["mse", "mae", "bce", "softmax", "bpr"] | None = None
    """Of numbers, mse or mae: mean squared or absolute error over a step's seeds. Of links, bce:
    a binary cross-entropy of an edge and of its negatives; softmax: the cross-entropy among
    all of them; bpr: of the edge above each negative. [default: mse; bce for links]"""

    @property
    def chosen(self) -> str:
        """The loss, once resolved."""
        if self.loss is None:
            raise ValueError("the loss is not resolved yet")
        return self.loss


KINDS = ("uniform", "pairs", "shared", "degree", "local")


def _drawn(said: int | str) -> tuple[str, int]:
    """Of uniform:2, or 2; (in-batch, 0) of that. Raises ValueError."""
    found = re.fullmatch(rf"(?:({'|'.join(KINDS)}):)?([1-9]\d*)", str(said))
    if found is not None:
        return found[1] or KINDS[0], int(found[2])
    if said != "in-batch":
        raise ValueError(
            "Must be a number of 1 or more, uniform:NUMBER, pairs:NUMBER, shared:NUMBER, "
            "degree:NUMBER, local:NUMBER or in-batch."
        )
    return said, 0


HOW_MANY = Parameter(validator=lambda kind, value: value is not None and _drawn(value) and None)


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """What an edge or an event is compared with."""

    negatives: Annotated[int | str | None, HOW_MANY] = None
    """Vertices that a target is compared with in training, drawn anew in each step: a number, or
    uniform:NUMBER, of vertices of the whole graph; of events, of all that are met. Of links
    besides: pairs:NUMBER, any vertices in the place of both ends; degree:NUMBER, drawn by the
    degree to the power of .75; shared:NUMBER, the same for all edges that a shard has in the step;
    in-batch, the targets of these, 1,024 at most; in mode averaging local:NUMBER, of the trainer's
    own vertices. [default: 1; in mode averaging local:1]"""

    eval_negatives: Annotated[int, AT_LEAST_ONE] = EVAL_NEGATIVES
    """Vertices that a target is ranked among in scores: the same in every run, and never the target
    itself; of links, never one that the source has an edge to."""

    @property
    def drawn(self) -> tuple[str, int]:
        """How, of KINDS or in-batch, and how many."""
        return _drawn(1 if self.negatives is None else self.negatives)


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How links are read from embeddings."""

    embedding: Annotated[int, AT_LEAST_ONE] = 64
    "Columns of a vertex's embedding, the last layer's."

    decoder: Literal["dot", "distmult", "mlp"] = "dot"
    """From two embeddings to an edge: their product; the same with a learned weight a column; or an
    MLP of 2 layers on their products by column."""


@dataclass(frozen=True, kw_only=True)
class EventLoss:
    """What is minimised where events are predicted."""

    event_loss: Literal["bce", "softmax"] = "bce"
    """A binary cross-entropy of the vertex that was met and of those that were not, or the
    cross-entropy of a softmax among all of them."""


@dataclass(frozen=True, kw_only=True)
class NegativesFile:
    """Which vertices events are compared with in scores."""

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
