"""What a converter refuses: each check names the file, the row, what was found and the remedy."""

from dataclasses import dataclass

import numpy as np

from batchgnn.base.errors import DataError


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


REMOVE = "Fill or remove such values first"
FILL = "Correct it, or say what a missing one (NaN) becomes: --fill mean"


def check_finite(
    values: np.ndarray, origin: Origin, what: str = "feature", remedy: str = REMOVE
) -> None:
    """Raise DataError when a value, (k,) or (k, d), is NaN or infinite."""
    good = np.isfinite(values)
    if not good.all():
        where = np.argwhere(~good)[0]
        column = f", column {int(where[1])}" if values.ndim == 2 else ""
        raise DataError(
            f"{origin.at(where[0])}{column}: {what} is {values[tuple(where)]}, needed a finite "
            f"number in the range of {values.dtype}. {remedy}"
        )


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
