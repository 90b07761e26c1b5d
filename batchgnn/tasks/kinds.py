"""The tasks: one row each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchgnn.comm.grid import Comm
from batchgnn.settings.settings import Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.class_weights import weigh_classes
from batchgnn.tasks.classes import Classes, ManyLabels
from batchgnn.tasks.event_labels import (
    EventLabels,
    VertexLabels,
    make_event_labels,
    make_vertex_labels,
    require_trained,
)
from batchgnn.tasks.events import make_events, require_even_negatives
from batchgnn.tasks.links import begin_links, link_bytes, make_links, roots_of_links
from batchgnn.tasks.options import (
    ClassWeights,
    Decoding,
    EventLoss,
    Losses,
    Negatives,
    NegativesFile,
    Scoring,
    Trained,
)
from batchgnn.tasks.regression import make_regression
from batchgnn.tasks.task import Task


@dataclass(frozen=True)
class TaskKind:
    """A row of the table.

    options        subjects of settings that the task has
    make           the task of the settings
    metrics        its scores, the default first
    manifest_task  `task` of the manifest of shards that have what it learns
    losses         values of --loss, the default first; none where there is no such option
    of_events      its seeds are events, not vertices
    check          raises ConfigError where options do not go together
    far_roots      its seeds' roots may be vertices of other ranks
    of_edges       its seeds are edges, which can be left out of what is sampled
    most_roots     of settings, seeds and their shards: most roots of these
    step_bytes     of settings, own seeds, those of a step, own shards, the graph's vertices and
                   bytes of a number: peak bytes of a step, and of scores, besides what the mode
                   holds
    begin          before a mode trains: what the task's loss asks of all own shards; collective
    """

    name: str
    options: tuple[type, ...]
    make: Callable[[Settings], Task]
    metrics: tuple[str, ...]
    manifest_task: str
    losses: tuple[str, ...] = ()
    of_events: bool = False
    check: Callable[[Settings], None] = lambda settings: None
    far_roots: bool = False
    of_edges: bool = False
    most_roots: Callable[[Settings, float, int], float] = lambda settings, seeds, shards: seeds
    step_bytes: Callable[[Settings, int, int, int, int, int], int] = lambda *_: 0
    begin: Callable[[Any, Comm, OwnShards, Settings], None] = lambda *_: None


TASKS = {
    kind.name: kind
    for kind in (
        TaskKind(
            name="multiclass",
            options=(Scoring, ClassWeights),
            begin=weigh_classes,
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
            options=(Scoring, Losses),
            make=make_regression,
            losses=("mse", "mae"),
            metrics=("rmse", "mae", "r2"),
            manifest_task="regression",
        ),
        TaskKind(
            name="events",
            options=(Scoring, EventLoss, Negatives, NegativesFile),
            make=make_events,
            metrics=("mrr", "ap", "roc-auc"),
            manifest_task="events",
            of_events=True,
            check=require_even_negatives,
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
        TaskKind(
            name="links",
            options=(Scoring, Losses, Decoding, Negatives),
            make=make_links,
            metrics=("mrr", "hits@10", "roc-auc", "ap"),
            losses=("bce", "softmax", "bpr"),
            manifest_task="links",
            far_roots=True,
            of_edges=True,
            most_roots=roots_of_links,
            step_bytes=link_bytes,
            begin=begin_links,
        ),
    )
}
