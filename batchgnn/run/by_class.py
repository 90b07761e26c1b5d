"""What result.json tells of each class: how well the best model finds it in the test split."""

from typing import Any

import numpy as np

from batchgnn.modes.mode import Mode
from batchgnn.modes.share import Share

ByClass = dict[str, dict[str, float | int]]


def by_class_entry(share: Share, mode: Mode, best_parameters: np.ndarray) -> dict[str, Any]:
    """`class_scores`; nothing where vertices have no classes, or none is for the test. Collective.

    From then on the model is the best one.
    """
    count = share.task.class_counts
    if count is None:
        return {}
    share.model.parameters.buffer[:] = best_parameters
    if share.table is not None:
        share.table.put_best()
    (rows,) = share.rows_of("test").values()
    counts = count(share.grid.world, share.own, mode.inference(), rows)
    names = share.manifest.class_names
    return {"class_scores": class_scores(names, counts)} if counts[2].any() else {}


def class_scores(names: list[str], counts: np.ndarray) -> ByClass:
    """By class; nan where there is nothing to divide by. counts: as of `task.ClassCounts`."""
    found, given, have = counts.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares = found / given, found / have, 2 * found / (given + have)
    keys = ("precision", "recall", "f1", "vertices", "predicted")
    columns = *(each.tolist() for each in shares), counts[2].tolist(), counts[1].tolist()
    rows = zip(*columns, strict=True)
    return {name: dict(zip(keys, row, strict=True)) for name, row in zip(names, rows, strict=True)}
