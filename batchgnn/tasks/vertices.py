"""What tasks on vertices share: a seed is a training vertex that has a label, and its own root."""

from collections.abc import Callable, Mapping

import numpy as np

from batchgnn.comm.grid import Comm
from batchgnn.nn.init import Declared
from batchgnn.nn.parameters import Parameters
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.seeds import is_seed
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import NO_FACTS, ClassCounts, Inference, Roots, Seeds


class VertexTask:
    """A label for each vertex; subclasses have the loss, the scores and the prediction."""

    seeds_are, unit = "vertices with a label", "seed"
    facts = NO_FACTS
    class_counts: ClassCounts | None = None

    def __init__(self, metric: str):
        """metric: of `scores`, the one that chooses."""
        self.metric = metric

    def width(self, manifest: Manifest) -> int:
        """A column for each class; one where labels are numbers."""
        return manifest.num_classes

    def head(self) -> Mapping[str, Declared]:
        """None: the last layer's rows are what is compared."""
        return {}

    def attach(self, parameters: Parameters) -> None:
        """Nothing: there is no head."""

    def seeds(self, own: OwnShards, split_index: int) -> Seeds:
        """Global ids of own training vertices with a label."""
        chosen = is_seed(own.label, own.split[:, [split_index]])[:, 0]
        rows = zip(own.first_row[:-1], own.first_row[1:], strict=True)
        mine = [own.ids[a:b][chosen[a:b]] for a, b in rows]
        return Seeds(mine, own.manifest.num_seeds[:, split_index])

    def roots(self, own: OwnShards, seeds: np.ndarray, epoch: int = 0, step: int = 0) -> Roots:
        """The seeds themselves, and their labels."""
        return Roots(seeds, own.label[own.ownership.local_rows(seeds)], len(seeds))

    def scores(
        self, comm: Comm, own: OwnShards, inference: Inference, splits: Mapping[str, np.ndarray]
    ) -> dict[str, list[Score]]:
        """Of the labelled vertices of each split; collective."""
        logits = inference.logits()
        return {
            name: self.score(comm, logits[rows], own.label[rows]) for name, rows in splits.items()
        }

    score: Callable[[Comm, np.ndarray, np.ndarray], list[Score]]
    "Scores of rows of the last layer by their labels, `metric` first; collective."
