"""Labels as converters read them: which task they are of, and their values checked.

Each check names the file, the row, what was found and the remedy.
"""

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin
from batchgnn.store.graph_writer import GraphSpec
from batchgnn.store.labels import MULTICLASS, MULTILABEL, NOT_KNOWN, REGRESSION

MAX_LABEL = 2**31 - 2

MANY_CLASSES = 1000
"More classes than this are asked about when most of them have no vertex, or one."


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
        labels = np.where(np.isnan(labels), -1, labels).astype(np.float64)
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


def are_sparse(num_classes: int, num_found: int, num_labelled: int) -> bool:
    """Whether there are many classes, most of which do not occur, or occur once or twice."""
    return num_classes > MANY_CLASSES and num_classes > min(2 * num_found, num_labelled // 2)


def refuse_many(place: str, num_classes: int, num_found: int, num_labelled: int) -> None:
    """Raise DataError when labels are probably no classes: most do not occur, or occur once."""
    if are_sparse(num_classes, num_found, num_labelled):
        raise DataError(
            f"{place}: the labels would make {num_classes:,} classes, {num_found:,} of which occur "
            f"on {num_labelled:,} vertices. If they are numbers to be predicted, say --task "
            f"{REGRESSION}; if they are classes, --task {MULTICLASS}"
        )


def check_many(labels: np.ndarray, origin: Origin) -> np.ndarray:
    """uint8 (k, C) from numbers (k, C), NaN = not known; raises DataError for other numbers."""
    unknown = np.isnan(labels) if labels.dtype.kind == "f" else np.zeros(labels.shape, bool)
    bad = ~((labels == 0) | (labels == 1) | unknown)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{origin.at(row)}, column {column}: label {labels[row, column]} of a multi-label "
            f"task, needed 0 or 1"
        )
    return np.where(unknown, NOT_KNOWN, labels).astype(np.uint8)


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
