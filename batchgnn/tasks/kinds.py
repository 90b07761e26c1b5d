"""The tasks: one row each."""

from collections.abc import Callable
from dataclasses import dataclass

from batchgnn.settings.settings import Settings
from batchgnn.tasks.classes import Classes, ManyLabels
from batchgnn.tasks.options import NumberLoss, Scoring
from batchgnn.tasks.regression import make_regression
from batchgnn.tasks.task import Task


@dataclass(frozen=True)
class TaskKind:
    """A row of the table.

    options        subjects of settings that the task has
    make           the task of the settings
    metrics        its scores, the default first
    manifest_task  `task` of the manifest of shards that have what it learns
    """

    name: str
    options: tuple[type, ...]
    make: Callable[[Settings], Task]
    metrics: tuple[str, ...]
    manifest_task: str


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
    )
}
