"""What a vertex counts in the loss by its class, so that rare classes are not passed over.

The weights w are scaled so that those of all training vertices of the graph add up to their number.
A step's loss, the sum of w[label] x loss over its seeds divided by their number, is then the
weighted mean where a step has all seeds, and its unbiased estimate in a minibatch, on any number of
ranks.
"""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Comm
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.seeds import is_seed
from batchgnn.tasks.classes import Classes
from batchgnn.tasks.options import ClassWeights

BALANCED = "balanced"


def weigh_classes(task: Classes, comm: Comm, own: OwnShards, settings: Settings) -> None:
    """Give the task its weights, where they are asked for; collective.

    Raises ConfigError on every rank where a file has no weights for these classes.
    """
    asked = settings[ClassWeights].class_weights
    if asked is None:
        return
    num_classes = own.manifest.num_classes
    split = own.split[:, [settings[Training].split_index]]
    counts = np.bincount(own.label[is_seed(own.label, split)[:, 0]], minlength=num_classes)
    counts = counts.astype(np.int64)
    allreduce_sum(comm, counts, "class counts")
    with fail_together(comm, "--class-weights"):
        weights = np.where(counts, 1 / np.maximum(counts, 1), 0.0)
        if asked != BALANCED:
            weights = read_weights(Path(asked), num_classes)
        task.class_weights = scaled(weights, counts, asked)
    task.facts = {"class_weights": task.class_weights.tolist()}


def scaled(weights: np.ndarray, counts: np.ndarray, asked: str) -> np.ndarray:
    """float32 (C,): the weights times what makes them 1 on average over `counts` vertices."""
    total = float(weights @ counts)
    if not total:
        raise ConfigError(
            f"--class-weights {asked}: the classes of all training vertices have weight 0, needed "
            "one above 0. Correct it"
        )
    return (weights * (counts.sum() / total)).astype(np.float32)


def read_weights(path: Path, num_classes: int) -> np.ndarray:
    """float64 (C,) of a file; raises ConfigError unless it has a number >= 0 for each class."""
    try:
        with path.open("rb") as file:
            is_npy = file.read(6) == b"\x93NUMPY"
        found = np.load(path, allow_pickle=False) if is_npy else np.loadtxt(path, ndmin=1)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(
            f"--class-weights {path} cannot be read ({said}): needed balanced, or a file, .npy or "
            "text, of a number for each class"
        ) from error
    weights = np.asarray(found)
    if weights.shape != (num_classes,) or weights.dtype.kind not in "fiu":
        raise ConfigError(
            f"--class-weights {path} has {weights.dtype} {weights.shape}, needed a number for each "
            f"of the {num_classes:,} classes, ({num_classes},), in their order"
        )
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        bad = int(np.argmin(np.isfinite(weights) & (weights >= 0)))
        raise ConfigError(
            f"--class-weights {path}: the weight of class {bad} is {weights[bad]}, needed a finite "
            "number, 0 or above. Correct it"
        )
    return weights
