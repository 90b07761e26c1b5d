"""The tasks: one row each."""

from collections.abc import Callable
from dataclasses import dataclass

from batchgnn.settings.settings import Settings
from batchgnn.tasks.classes import Classes, ManyLabels
from batchgnn.tasks.event_labels import (
    EventLabels,
    VertexLabels,
    make_event_labels,
    make_vertex_labels,
    require_trained,
)
from batchgnn.tasks.events import make_events
from batchgnn.tasks.options import EventLoss, Negatives, NumberLoss, Scoring, Trained
from batchgnn.tasks.regression import make_regression
from batchgnn.tasks.task import Task


@dataclass(frozen=True)
class TaskKind:
    """A row of the table.

    options        subjects of settings that the task has
    make           the task of the settings
    metrics        its scores, the default first
    manifest_task  `task` of the manifest of shards that have what it learns
    of_events      its seeds are events, not vertices
    check          raises ConfigError where options do not go together
    """

    name: str
    options: tuple[type, ...]
    make: Callable[[Settings], Task]
    metrics: tuple[str, ...]
    manifest_task: str
    of_events: bool = False
    check: Callable[[Settings], None] = lambda settings: None


TASKS = {
    kind.name: kind
    for kind in (
        TaskKind(
            name="multiclass",
            options=(Scoring,),
            make=lambda settings: Classes(settings[Scoring].score),
            metrics=("accuracy", "micro-f1", "macro-f1", "roc-auc"),
            manifest_task="multiclass",
        ),
        TaskKind(
            name="multilabel",
            options=(Scoring,),
            make=lambda settings: ManyLabels(settings[Scoring].score),
            metrics=("micro-f1", "macro-f1", "roc-auc"),
            manifest_task="multilabel",
        ),
        TaskKind(
            name="regression",
            options=(Scoring, NumberLoss),
            make=make_regression,
            metrics=("rmse", "mae", "r2"),
            manifest_task="regression",
        ),
        TaskKind(
            name="events",
            options=(Scoring, EventLoss, Negatives),
            make=make_events,
            metrics=("mrr", "ap", "roc-auc"),
            manifest_task="events",
            of_events=True,
        ),
        TaskKind(
            name="event-labels",
            options=(Scoring,),
            make=make_event_labels,
            metrics=EventLabels.metrics,
            manifest_task="events",
            of_events=True,
        ),
        TaskKind(
            name="vertex-labels",
            options=(Scoring, Trained),
            make=make_vertex_labels,
            metrics=VertexLabels.metrics,
            manifest_task="events",
            of_events=True,
            check=require_trained,
        ),
    )
}
