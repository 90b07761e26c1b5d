"""What a mode asks of a task: what a seed is, its loss, its score, what is predicted.

A task knows no mode. Methods that say so are collective.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from batchgnn.comm.grid import Comm
from batchgnn.nn.init import Declared
from batchgnn.nn.parameters import Parameters
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.score import Score


@dataclass(frozen=True)
class Seeds:
    """What a split trains on.

    own     of each own shard, int64 (n,): seeds as `Task.roots` takes them, such as global ids
    counts  int64 (K,), how many every shard of the store has
    """

    own: list[np.ndarray]
    counts: np.ndarray

    @property
    def total(self) -> int:
        """Seeds of all shards."""
        return int(self.counts.sum())


class Roots(NamedTuple):
    """The vertices whose rows the loss of some seeds needs: own ones, unless `TaskKind.far_roots`.

    ids        distinct global ids
    targets    what the loss compares their rows with, as the task has it
    num_seeds  whose losses it sums
    edges      integers (2, num_seeds): sources and targets of seeds that are edges
    """

    ids: np.ndarray
    targets: Any
    num_seeds: int
    edges: np.ndarray | None = None


class Loss(NamedTuple):
    """The sum of the seeds' losses, and scale times its gradient by the roots' rows."""

    sum: float
    gradient: np.ndarray


class Inference(Protocol):
    """The exact model over all vertices; every method is collective."""

    def logits(self) -> np.ndarray:
        """float32 (num_own, width of the task), rows in own order."""

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: (num_own, width)."""


ClassCounts = Callable[[Comm, OwnShards, Inference, np.ndarray], np.ndarray]
"""Of own vertices, bool (num_own,): int64 (3, classes), how many of each class were found, were
given it, have it, over all ranks; collective."""

NO_FACTS: Mapping[str, Any] = MappingProxyType({})
"Of a task that tells nothing besides."


class Task(Protocol):
    """What is learned."""

    metric: str
    "The score that chooses the best epoch."
    seeds_are: str
    "What it is trained on, for messages."
    unit: str
    "One of them in a word, for rates: seed, edge or event."
    facts: Mapping[str, Any]
    "What result.json tells of it besides, once training has begun."

    @property
    def class_counts(self) -> ClassCounts | None:
        """None where vertices have no classes."""

    def width(self, manifest: Manifest) -> int:
        """Columns of the model's last layer."""

    def head(self) -> Mapping[str, Declared]:
        """Parameters of the task itself, which follow the model's in the same buffer."""

    def attach(self, parameters: Parameters) -> None:
        """Keep the views of the head's parameters and gradients, which `loss` overwrites."""

    def seeds(self, own: OwnShards, split_index: int) -> Seeds:
        """The training seeds of own shards, and how many every shard has."""

    def roots(self, own: OwnShards, seeds: np.ndarray, epoch: int = 0, step: int = 0) -> Roots:
        """The vertices that the loss of some own seeds needs in a step, and their targets."""

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (roots, width); scale: 1 / seeds of the step over all ranks."""

    def scores(
        self, comm: Comm, own: OwnShards, inference: Inference, splits: Mapping[str, np.ndarray]
    ) -> dict[str, list[Score]]:
        """Of vertices, bool (num_own,) by name: scores, the one that chooses first; collective."""

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """What is written of own vertices, by name: rows in own order; collective."""
