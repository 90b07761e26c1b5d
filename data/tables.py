"""Tables read in chunks of rows: what text (`csv_table`) and Parquet (`parquet`) have in common.

A cell is text or a number; the chunk turns columns into arrays and names the row of a bad cell.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from batchgnn.base.errors import DataError

CELLS_PER_CHUNK = 1 << 18
"Cells held at a time: about 30 MiB as Python text."


class Cells(NamedTuple):
    """Texts of some rows, without a Python object for each.

    data        uint8      UTF-8, and more
    begin, end  int32 (k,) data[begin : end] is a text
    """

    data: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def cells_of(texts: Iterable[str]) -> Cells:
    """Texts as cells."""
    raw = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int32)
    return Cells(np.frombuffer(b"".join(raw), np.uint8), ends[:-1], ends[1:])


class TableChunk(Protocol):
    """Some consecutive rows of a table; columns are given by position."""

    first_row: int

    def __len__(self) -> int:
        """Rows."""

    def text(self, column: int) -> list[str]:
        """The cells as text, empty where there is nothing."""

    def integers(self, column: int) -> np.ndarray | None:
        """int64 (k,), or None when a cell is no integer."""

    def canonical(self, column: int) -> np.ndarray | None:
        """int64 (k,) when all are integers as one writes them (`7`, not `007` or `7.0`)."""

    def cells(self, column: int) -> Cells:
        """As `text`, for kernels."""

    def numbers(self, columns: Sequence[int], *, missing: bool = False) -> np.ndarray:
        """float64 (k, sum of widths of columns); raises DataError when a cell is no number.

        missing  whether NaN stands for empty cells, NA and the like, which are refused otherwise
        """


class Table(Protocol):
    """A file of rows with as many cells each, or several (`joined`).

    first_cells   the first line, whatever it is; of Parquet the names of the columns
    sample        some rows at the beginning, as text; none of Parquet
    num_comments  comments that were skipped, known when all rows have been read
    files         names of its files in the order that they are read, where it has several
    has_rows      whether there is a row at all, as far as the beginning tells
    """

    path: Path
    columns: tuple[str, ...]
    first_cells: list[str]
    sample: list[list[str]]
    has_header: bool
    size: int
    unit: str
    files: tuple[str, ...]

    @property
    def num_comments(self) -> int:
        """Comments that were skipped."""

    @property
    def has_rows(self) -> bool:
        """Whether there is a row at all."""

    def chunks(self, columns: Sequence[int]) -> Iterator[TableChunk]:
        """All rows, from the first; only `columns` will be asked for."""

    def position(self) -> int:
        """How much of `size` has been read."""

    def width_of(self, column: int) -> int:
        """Numbers in each cell of a column: 1, or more where cells are lists of numbers."""


def vector_of(cell: str) -> list[float] | None:
    """The numbers of a cell as `0.1,0.2` or `[0.1 0.2]`; None when it has something else."""
    parts = cell.strip().strip("[](){}").replace(",", " ").replace(";", " ").split()
    if "_" in cell:
        return None
    try:
        return [float(part) for part in parts]
    except ValueError:
        return None


def not_a_number(table: Table, row: int, column: int, found: Any, width: int = 1) -> DataError:
    """The error for a cell that is no number, or not as many of them as in the first row."""
    needed = "a number" if width == 1 else f"{width} numbers as in the first row"
    what = "is empty" if found in ("", None) else f"is {found!r}"
    remedy = "; what vertices lack can be filled: --fill mean" if what == "is empty" else ""
    return DataError(
        f"{table.path}, row {row:,}, column {table.columns[column]}: the cell {what}, needed "
        f"{needed}. Correct it, or choose other columns: --label, --features, --weight{remedy}"
    )


def refuse_twice(path: Path, columns: Sequence[str], otherwise: str = "") -> None:
    """Raise DataError when two columns have one name."""
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise DataError(f"{path}: two columns are named {twice[0]!r}. Rename one{otherwise}")
