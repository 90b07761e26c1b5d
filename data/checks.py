"""What a converter refuses: each check names the file, the row, what was found and the remedy."""

from dataclasses import dataclass

import numpy as np

from batchgnn.base.errors import DataError

MAX_LABEL = 2**31 - 2


@dataclass(frozen=True)
class Origin:
    """Where a chunk of values was read: the file (with the array or column), and its first row.

    Rows of a table count lines of the file from 1, its header among them; rows of an array count
    from 0, as the vertices do.
    """

    file: str
    first_row: int = 0

    def at(self, row: int) -> str:
        """The place of a row of the chunk, for messages."""
        return f"{self.file}, row {self.first_row + int(row):,}"


def check_ids(ids: np.ndarray, num_vertices: int, origin: Origin) -> None:
    """Raise DataError unless 0 <= ids < num_vertices; integers (k,)."""
    if len(ids) and (ids.min() < 0 or ids.max() >= num_vertices):
        row = int(np.argmax((ids < 0) | (ids >= num_vertices)))
        raise DataError(
            f"{origin.at(row)}: vertex {ids[row]} is out of range: there are {num_vertices:,} "
            f"vertices, numbered 0 to {num_vertices - 1:,}. Correct the row, or add the vertex"
        )


def check_finite(values: np.ndarray, origin: Origin, what: str = "feature") -> None:
    """Raise DataError when a value, (k,) or (k, d), is NaN or infinite."""
    good = np.isfinite(values)
    if not good.all():
        where = np.argwhere(~good)[0]
        column = f", column {int(where[1])}" if values.ndim == 2 else ""
        raise DataError(
            f"{origin.at(where[0])}{column}: {what} is {values[tuple(where)]}, needed a finite "
            f"number in the range of {values.dtype}. Fill or remove such values first"
        )


def check_labels(labels: np.ndarray, num_classes: int | None, origin: Origin) -> np.ndarray:
    """int32 (k,) from numbers (k,): NaN becomes -1; raises DataError when out of range."""
    if labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), -1, labels)
    if labels.dtype.kind not in "iubf":
        raise DataError(f"{origin.file}: labels are {labels.dtype}, needed integers, -1 = none")
    top = MAX_LABEL if num_classes is None else num_classes - 1
    bad = (labels < -1) | (labels > top) | (labels != np.floor(labels))
    if bad.any():
        row = int(np.argmax(bad))
        have = "" if num_classes is None else f" with {num_classes} classes"
        raise DataError(
            f"{origin.at(row)}: label {labels[row]:g} is out of range: needed an integer from -1 "
            f"(none) to {top:,}{have}. Correct the row, or set --classes"
        )
    return labels.astype(np.int32)


def check_multilabel(labels: np.ndarray, origin: Origin) -> np.ndarray:
    """uint8 (k, C) from numbers (k, C); raises DataError unless each is 0 or 1."""
    bad = ~((labels == 0) | (labels == 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{origin.at(row)}, column {column}: label {labels[row, column]} of a multi-label "
            f"task, needed 0 or 1"
        )
    return labels.astype(np.uint8)


def check_indptr(pointers: np.ndarray, end: int, origin: Origin) -> None:
    """Raise DataError unless a stretch of a CSR's indptr ascends and stays within 0 and `end`."""
    bad = np.diff(pointers, prepend=pointers[0]) < 0
    bad |= (pointers < 0) | (pointers > end)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{origin.at(row)}: {pointers[row]} follows {pointers[max(row - 1, 0)]}: a CSR's "
            f"indptr ascends from 0 to its {end:,} entries. The file is damaged or no CSR"
        )
