"""Parquet tables, and `open_table` for tables of any kind."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.csv_table import CsvTable
from batchgnn.data.headers import HeaderRule
from batchgnn.data.packed import PARQUET_MAGIC, first_bytes
from batchgnn.data.tables import (
    CELLS_PER_CHUNK,
    Cells,
    Table,
    cells_of,
    not_a_number,
    refuse_twice,
)

LISTS = ("list<", "large_list<", "fixed_size_list<")
NO_TEXT = (*LISTS, "timestamp", "date", "time", "duration", "struct", "map", "month", "union")
"Beginnings of the names of types that are neither ids, classes nor parts of a split."

NUMBERS = ("int", "uint", "float", "double", "halffloat", "bool", "decimal")


class ParquetChunk:
    """A record batch of a Parquet file."""

    def __init__(self, table: "ParquetTable", first_row: int, batch: Any, place: dict[int, int]):
        """place: column of the table -> column of the batch."""
        self.table, self.first_row, self.batch, self.place = table, first_row, batch, place

    def __len__(self) -> int:
        """Rows."""
        return self.batch.num_rows

    def text(self, column: int) -> list[str]:
        """As `TableChunk.text`."""
        cells = self.batch.column(self.place[column])
        if str(cells.type).startswith(NO_TEXT):
            raise DataError(
                f"{self.table.path}, column {self.table.columns[column]} is of type {cells.type}, "
                "needed numbers or text. Choose another column, or save it as one of these"
            )
        return ["" if cell is None else str(cell) for cell in cells.to_pylist()]

    def integers(self, column: int) -> np.ndarray | None:
        """As `TableChunk.integers`."""
        cells = self.batch.column(self.place[column])
        if cells.null_count == 0 and str(cells.type).startswith(("int", "uint")):
            values = cells.to_numpy(zero_copy_only=False)
            is_large = values.dtype == np.uint64 and len(values) and values.max() >= 2**63
            return None if is_large else values.astype(np.int64)
        try:
            return np.fromiter(map(int, self.text(column)), np.int64, len(self))
        except (ValueError, OverflowError):
            return None

    def canonical(self, column: int) -> np.ndarray | None:
        """As `TableChunk.canonical`."""
        ids, kind = self.integers(column), str(self.batch.column(self.place[column]).type)
        if ids is None or kind.startswith(("int", "uint")):
            return ids
        return ids if self.text(column) == list(map(str, ids.tolist())) else None

    def cells(self, column: int) -> Cells:
        """As `TableChunk.cells`."""
        return cells_of(self.text(column))

    def numbers(self, columns: Sequence[int], *, missing: bool = False) -> np.ndarray:
        """As `TableChunk.numbers`."""
        widths = [self.table.width_of(column) for column in columns]
        out, at = np.empty((len(self), sum(widths))), 0
        for column, width in zip(columns, widths, strict=True):
            cells = self.batch.column(self.place[column])
            is_list = str(cells.type).startswith(LISTS)
            if is_list or not missing:
                self._refuse_empty(cells, column)
            if is_list:
                lengths = np.asarray(cells.value_lengths())
                if (lengths != width).any():
                    row = int(np.argmax(lengths != width))
                    raise self._bad_length(row, column, int(lengths[row]), width)
                cells = cells.flatten()
                if not missing:
                    self._refuse_empty(cells, column, width)
            found = cells[0].as_py() if len(cells) else None
            if not str(cells.type).startswith(NUMBERS):
                raise not_a_number(self.table, self.first_row, column, found)
            if cells.null_count:
                cells = cells.cast("float64")
            values = cells.to_numpy(zero_copy_only=False).astype(np.float64)
            out[:, at : at + width] = values.reshape(-1, width)
            at += width
        return out

    def _refuse_empty(self, cells: Any, column: int, width: int = 1) -> None:
        if cells.null_count:
            row = int(np.argmax(cells.is_null().to_numpy(zero_copy_only=False))) // width
            raise not_a_number(self.table, self.first_row + row, column, None)

    def _bad_length(self, row: int, column: int, found: int, needed: int) -> DataError:
        return DataError(
            f"{self.table.path}, row {self.first_row + row:,}, column "
            f"{self.table.columns[column]}: a list of {found} numbers, needed {needed} as in the "
            f"first row. Correct it, or choose other columns"
        )


class ParquetTable:
    """A Parquet file; rows count from 1."""

    unit, num_comments, has_header = "rows", 0, True
    files: tuple[str, ...] = ()

    def __init__(self, path: Path):
        """Read the schema; raises ConfigError without pyarrow, DataError for a bad file."""
        try:
            self.parquet = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise ConfigError(
                f"{path}: reading Parquet needs pyarrow: pip install 'batchgnn[parquet]'; or save "
                f"the table as CSV"
            ) from error
        self.path, self.done = path, 0
        self.sample: list[list[str]] = []
        self.lists: dict[int, int] = {}
        with self._open() as file:
            self.columns: tuple[str, ...] = tuple(file.schema_arrow.names)
            refuse_twice(path, self.columns)
            self.size: int = file.metadata.num_rows
            self._find_lists(file)
        self.first_cells: list[str] = list(self.columns)

    @property
    def has_rows(self) -> bool:
        """As `Table.has_rows`."""
        return self.size > 0

    def _find_lists(self, file: Any) -> None:
        for column, kind in enumerate(file.schema_arrow.types):
            if str(kind).startswith(LISTS) and file.metadata.num_rows:
                batch = next(file.iter_batches(batch_size=1, columns=[self.columns[column]]))
                first = batch.column(0)[0].as_py()
                self.lists[column] = len(first) if first else 0

    def width_of(self, column: int) -> int:
        """As `Table.width_of`."""
        return self.lists.get(column, 1)

    def _open(self) -> Any:
        import pyarrow

        try:
            return self.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is no Parquet file, or damaged ({error})") from error

    def position(self) -> int:
        """Rows read so far."""
        return self.done

    def chunks(self, columns: Sequence[int]) -> Iterator[ParquetChunk]:
        """As `Table.chunks`."""
        import pyarrow

        self.done = 0
        names = [self.columns[column] for column in columns]
        cells = sum(self.width_of(column) for column in columns)
        step = max(CELLS_PER_CHUNK // max(cells, 1), 1)
        with self._open() as file:
            try:
                for batch in file.iter_batches(batch_size=step, columns=names):
                    place = {c: batch.schema.names.index(self.columns[c]) for c in columns}
                    yield ParquetChunk(self, self.done + 1, batch, place)
                    self.done += batch.num_rows
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"{self.path} is damaged ({error}). Copy it again") from error


def is_parquet(path: Path) -> bool:
    """Whether a file is one by its first bytes."""
    return first_bytes(path).startswith(PARQUET_MAGIC)


def open_table(path: Path, *, delimiter: str | None = None, header: HeaderRule | bool) -> Table:
    """The table of one file by its first bytes: Parquet, or else CSV."""
    if not path.is_file():
        raise DataError(f"{path} does not exist: needed a CSV or Parquet file, or a folder of them")
    if is_parquet(path) or path.suffix.lower() in (".parquet", ".pq"):
        return ParquetTable(path)
    return CsvTable(path, delimiter=delimiter, header=header)
