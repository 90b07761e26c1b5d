"""Labels as converters read them: which task they are of, and their values checked.

Each check names the file, the row, what was found and the remedy.
"""

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin
from batchgnn.store.graph_writer import GraphSpec
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION

MAX_LABEL = 2**31 - 2


def task_of(asked: str | None, columns: int, where: str) -> str:
    """The task: as asked, else multilabel where there are several columns of labels.

    Raises DataError when the task that was asked for has one label a vertex, and there are several.
    """
    if columns > 1 and asked not in (None, MULTILABEL):
        raise DataError(
            f"{where}: {columns} columns of labels, but --task {asked} has one label for each "
            f"vertex. Choose one column, or leave --task out: several make a {MULTILABEL} task"
        )
    return asked or (MULTILABEL if columns > 1 else MULTICLASS)


def check_labels(labels: np.ndarray, spec: GraphSpec, origin: Origin) -> np.ndarray:
    """Labels as the store has them, from numbers (k,) or (k, columns); raises DataError."""
    if labels.dtype.kind not in "iubf":
        raise DataError(f"{origin.file}: labels are {labels.dtype}, needed numbers")
    if spec.task == MULTILABEL:
        return check_many(labels.reshape(len(labels), -1), origin)
    if spec.task == REGRESSION:
        return check_numbers(labels.reshape(-1), origin)
    return check_classes(labels.reshape(-1), spec.num_classes, origin)


def check_classes(labels: np.ndarray, num_classes: int | None, origin: Origin) -> np.ndarray:
    """int32 (k,) from numbers (k,): NaN becomes -1; raises DataError when one is no class."""
    if labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), -1, labels)
        broken = np.isfinite(labels) & (labels != np.floor(labels))
        if broken.any():
            row = int(np.argmax(broken))
            raise fraction(origin.at(row), f"{labels[row]:g}")
    top = MAX_LABEL if num_classes is None else num_classes - 1
    bad = (labels < -1) | (labels > top)
    if bad.any():
        row = int(np.argmax(bad))
        have = "" if num_classes is None else f" with {num_classes} classes"
        raise DataError(
            f"{origin.at(row)}: label {labels[row]:g} is out of range: needed an integer from -1 "
            f"(none) to {top:,}{have}. Correct the row, or set --classes"
        )
    return labels.astype(np.int32)


def fraction(place: str, label: str) -> DataError:
    """The error for a label with a fraction where classes are wanted."""
    return DataError(
        f"{place}: label {label} is no whole number, so it is no class. If the labels are "
        f"numbers to be predicted, say so: --task {REGRESSION}"
    )


def check_many(labels: np.ndarray, origin: Origin) -> np.ndarray:
    """uint8 (k, C) from numbers (k, C); raises DataError unless each is 0 or 1."""
    bad = ~((labels == 0) | (labels == 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{origin.at(row)}, column {column}: label {labels[row, column]} of a multi-label "
            f"task, needed 0 or 1"
        )
    return labels.astype(np.uint8)


def check_numbers(labels: np.ndarray, origin: Origin) -> np.ndarray:
    """float32 (k,) from numbers (k,): NaN = none; raises DataError when one is not finite."""
    with np.errstate(over="ignore"):
        numbers = labels.astype(np.float32)
    bad = np.isinf(numbers)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{origin.at(row)}: label {labels[row]:g} is no finite number of 32 bits. Correct it, "
            f"or say that there is none: NaN"
        )
    return numbers
