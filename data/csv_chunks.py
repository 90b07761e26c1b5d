"""Rows of a text file: as Python's reader has them, or as places of cells in the file's bytes.

`CellChunk` is the fast one. It reads what is simply written, and whatever else there is by the
slow one, `CsvChunk`, of the same rows: both say the same of every file.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from operator import itemgetter

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.classes import NO_NUMBER, is_none
from batchgnn.data.headers import is_number
from batchgnn.data.tables import Cells, Table, cells_of, not_a_number, vector_of
from batchgnn.kernels.cells import (
    CANONICAL,
    ODD,
    find_cells,
    parse_integers,
    parse_numbers,
)

Rows = list[list[str]]


class CsvChunk:
    """Rows of a text file, as texts."""

    def __init__(self, table: Table, first_row: int, rows: Rows):
        """`first_row` counts the lines of the file from 1."""
        self.table, self.first_row, self._rows = table, first_row, rows

    @property
    def rows(self) -> Rows:
        """All cells as Python's reader has them."""
        return self._rows

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def text(self, column: int) -> list[str]:
        """As `TableChunk.text`, stripped of spaces."""
        return [row[column].strip() for row in self.rows]

    def integers(self, column: int) -> np.ndarray | None:
        """As `TableChunk.integers`."""
        try:
            ids = np.fromiter((int(row[column]) for row in self.rows), np.int64, len(self.rows))
        except (ValueError, OverflowError):
            return None
        return None if any("_" in row[column] for row in self.rows) else ids

    def canonical(self, column: int) -> np.ndarray | None:
        """As `TableChunk.canonical`."""
        ids = self.integers(column)
        return None if ids is None or self.text(column) != list(map(str, ids.tolist())) else ids

    def cells(self, column: int) -> Cells:
        """As `TableChunk.cells`."""
        return cells_of(self.text(column))

    def numbers(self, columns: Sequence[int], *, missing: bool = False) -> np.ndarray:
        """As `TableChunk.numbers`."""
        if missing:
            return self._with_nan(columns).numbers(columns)
        shape = (len(self.rows), len(columns))
        if len(columns) == 0:
            return np.empty(shape)
        if any(self.table.width_of(column) > 1 for column in columns):
            return self._vectors(columns)
        pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)
        cells = list(chain.from_iterable(map(pick, self.rows)))
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells)).reshape(shape)
        except ValueError:
            raise self._bad_cell(columns) from None
        if "_" in "".join(cells):  # to Python 1_0 is 10
            raise self._bad_cell(columns)
        return values

    def _with_nan(self, columns: Sequence[int]) -> "CsvChunk":
        """The rows with "nan" in cells of `columns` that stand for nothing."""
        rows = [list(row) for row in self.rows]
        for column in columns:
            nothing = " ".join(["nan"] * self.table.width_of(column))
            for row in rows:
                if is_none(row[column].strip(), NO_NUMBER):
                    row[column] = nothing
        return CsvChunk(self.table, self.first_row, rows)

    def _vectors(self, columns: Sequence[int]) -> np.ndarray:
        """As `numbers`, where some cells are lists."""
        out = np.empty((len(self), sum(self.table.width_of(column) for column in columns)))
        for i, row in enumerate(self.rows):
            at = 0
            for column in columns:
                found, width = vector_of(row[column]), self.table.width_of(column)
                if found is None or len(found) != width:
                    raise not_a_number(self.table, self.first_row + i, column, row[column], width)
                out[i, at : at + width] = found
                at += width
        return out

    def _bad_cell(self, columns: Sequence[int]) -> DataError:
        cells = ((i, column) for i in range(len(self.rows)) for column in columns)
        i, column = next(at for at in cells if not is_number(self.rows[at[0]][at[1]]))
        return not_a_number(self.table, self.first_row + i, column, self.rows[i][column])


class CellChunk(CsvChunk):
    """Rows of a text file, as places in its bytes."""

    def __init__(
        self,
        table: Table,
        first_row: int,
        block: bytes,
        places: dict[int, Cells],
        slow_rows: Callable[[bytes], Rows],
    ):
        """Rows of a block.

        places     of the cells of each column that will be asked for
        slow_rows  reads a block as Python does
        """
        self.table, self.first_row, self.block = table, first_row, block
        self.places, self.slow_rows = places, slow_rows

    @cached_property
    def rows(self) -> Rows:
        """As `CsvChunk.rows`."""
        return self.slow_rows(self.block)

    def __len__(self) -> int:
        """Rows."""
        return len(next(iter(self.places.values())).begin)

    def text(self, column: int) -> list[str]:
        """As `TableChunk.text`."""
        found = self.places[column]
        ends = zip(found.begin.tolist(), found.end.tolist(), strict=True)
        if self.block.isascii():
            whole = self.block.decode("ascii")
            return [whole[begin:end] for begin, end in ends]
        return [self.block[begin:end].decode() for begin, end in ends]

    def _parsed(self, column: int) -> tuple[np.ndarray, int]:
        out = np.empty(len(self), np.int64)
        return out, parse_integers(*self.places[column], out)

    def integers(self, column: int) -> np.ndarray | None:
        """As `TableChunk.integers`."""
        ids, kind = self._parsed(column)
        return super().integers(column) if kind == ODD else ids

    def canonical(self, column: int) -> np.ndarray | None:
        """As `TableChunk.canonical`."""
        ids, kind = self._parsed(column)
        return ids if kind == CANONICAL else None

    def cells(self, column: int) -> Cells:
        """As `TableChunk.cells`."""
        return self.places[column]

    def numbers(self, columns: Sequence[int], *, missing: bool = False) -> np.ndarray:
        """As `TableChunk.numbers`."""
        if len(columns) == 0 or any(self.table.width_of(column) > 1 for column in columns):
            return super().numbers(columns, missing=missing)
        out, odd = np.empty((len(columns), len(self))), np.empty(len(self), bool)
        for values, column in zip(out, columns, strict=True):
            cells = self.places[column]
            if not parse_numbers(*cells, values, odd):
                continue
            for row in np.flatnonzero(odd).tolist():
                found = self._number(cells, row, missing=missing)
                if found is None:
                    return super().numbers(columns, missing=missing)
                values[row] = found
        return np.ascontiguousarray(out.T)

    def _number(self, cells: Cells, row: int, *, missing: bool) -> float | None:
        """What Python reads in a cell; None when it is no number."""
        text = self.block[cells.begin[row] : cells.end[row]].decode()
        if missing and is_none(text, NO_NUMBER):
            return np.nan
        try:
            return None if "_" in text else float(text)
        except ValueError:
            return None


def find(
    block: bytes, delimiter: str, width: int, trailing: bool, columns: Sequence[int]
) -> dict[int, Cells] | None:
    """The places of the cells of some columns; None where the block needs the slow reader.

    block      whole lines; raises UnicodeDecodeError when it is no UTF-8
    width      cells of every row
    trailing   whether the last one is always empty
    """
    if not block.isascii():
        block.decode()
    if not block.endswith(b"\n"):
        block += b"\n"
    data, num_lines = np.frombuffer(block, np.uint8), block.count(b"\n")
    slot = np.full(width, -1)
    wanted = [column for column in columns if column < width] or [0]
    slot[wanted] = np.arange(len(wanted))
    begin, end = np.empty((2, len(wanted), num_lines), np.int32)
    n = find_cells(data, np.uint8(ord(delimiter)), slot, trailing, begin, end)
    if n < 0:
        return None
    return {column: Cells(data, begin[i, :n], end[i, :n]) for i, column in enumerate(wanted)}
