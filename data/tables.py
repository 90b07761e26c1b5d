"""Tables read in chunks of rows: CSV and its relatives (also gzipped), and Parquet.

A cell is text or a number; the chunk turns columns into arrays and names the row of a bad cell.
"""

import csv
import gzip
import importlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from batchgnn.base.errors import ConfigError, DataError

CELLS_PER_CHUNK = 1 << 18
"Cells held at a time: about 30 MiB as Python text."

COMMENT = ("#", "%")
PARQUET = (".parquet", ".pq")


class TableChunk(Protocol):
    """Some consecutive rows of a table; columns are given by position."""

    first_row: int

    def __len__(self) -> int:
        """Rows."""

    def text(self, column: int) -> list[str]:
        """The cells as text, empty where there is nothing."""

    def integers(self, column: int) -> np.ndarray | None:
        """int64 (k,), or None when a cell is no integer."""

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """float64 (k, len(columns)); raises DataError when a cell is no number."""


class Table(Protocol):
    """A file of rows with as many cells each."""

    path: Path
    columns: tuple[str, ...]
    size: int
    unit: str

    def chunks(self, columns: Sequence[int]) -> Iterator[TableChunk]:
        """All rows, from the first; only `columns` will be asked for."""

    def position(self) -> int:
        """How much of `size` has been read."""


class CsvChunk:
    """Rows of a CSV file."""

    def __init__(self, table: "CsvTable", first_row: int, rows: list[list[str]]):
        """`first_row` counts the lines of the file from 1."""
        self.table, self.first_row, self.rows = table, first_row, rows

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def text(self, column: int) -> list[str]:
        """As `TableChunk.text`, stripped of spaces."""
        return [row[column].strip() for row in self.rows]

    def integers(self, column: int) -> np.ndarray | None:
        """As `TableChunk.integers`."""
        try:
            return np.fromiter((int(row[column]) for row in self.rows), np.int64, len(self.rows))
        except (ValueError, OverflowError):
            return None

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """As `TableChunk.numbers`."""
        shape = (len(self.rows), len(columns))
        if len(columns) == 0:
            return np.empty(shape)
        pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)
        cells = chain.from_iterable(map(pick, self.rows))
        try:
            return np.fromiter(map(float, cells), np.float64, shape[0] * shape[1]).reshape(shape)
        except ValueError:
            raise self._bad_cell(columns) from None

    def _bad_cell(self, columns: Sequence[int]) -> DataError:
        cells = ((i, column) for i in range(len(self.rows)) for column in columns)
        i, column = next(at for at in cells if not is_number(self.rows[at[0]][at[1]]))
        return not_a_number(self.table, self.first_row + i, column, self.rows[i][column])


def not_a_number(table: Table, row: int, column: int, found: Any) -> DataError:
    """The error for a cell that is no number."""
    what = "is empty" if found in ("", None) else f"is {found!r}"
    return DataError(
        f"{table.path}, row {row:,}, column {table.columns[column]}: the cell {what}, needed a "
        f"number. Correct it, or choose other columns"
    )


class CsvTable:
    """A CSV, TSV or space-separated file, plain or gzipped.

    Leading lines that begin with # or % are skipped. Unless told, the delimiter is the first of
    tab, comma, semicolon, space that the first line has, and a first line of numbers is no header.
    """

    unit = "bytes"

    def __init__(
        self, path: Path, *, delimiter: str | None = None, header: bool | None = None
    ) -> None:
        """Read the first line; raises DataError when there is none."""
        self.path, self.size = path, path.stat().st_size
        self.raw: BinaryIO | None = None
        with self._open() as file:
            skipped, line = self._first_line(file)
        if line is None:
            raise DataError(f"{path} has no rows: needed a line for each edge or vertex")
        self.delimiter = delimiter or next((d for d in "\t,; " if d in line), ",")
        cells = [cell.strip() for cell in next(csv.reader([line], **self._dialect()))]
        self.has_header = not all(map(is_number, cells)) if header is None else header
        numbered = map(str, range(1, len(cells) + 1))
        self.columns = tuple(cells) if self.has_header else tuple(numbered)
        self.skip = skipped + self.has_header

    def _dialect(self) -> dict:
        return {"delimiter": self.delimiter, "skipinitialspace": True, "strict": True}

    @contextmanager
    def _open(self) -> Iterator[io.TextIOWrapper]:
        with self.path.open("rb") as self.raw:
            packed = self.path.suffix == ".gz"
            file: Any = gzip.GzipFile(fileobj=self.raw) if packed else self.raw
            with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
                yield lines

    def _first_line(self, file: io.TextIOWrapper) -> tuple[int, str | None]:
        with self._reading():
            for skipped, line in enumerate(file):
                if not line.startswith(COMMENT) and line.strip():
                    return skipped, line.rstrip("\r\n")
        return 0, None

    def _reading(self) -> "Reading":
        return Reading(self.path)

    def position(self) -> int:
        """Bytes of the (compressed) file read so far."""
        return self.size if self.raw is None or self.raw.closed else self.raw.tell()

    def chunks(self, columns: Sequence[int] = ()) -> Iterator[CsvChunk]:
        """As `Table.chunks`; raises DataError for a row with more or fewer cells than the first."""
        width, step = len(self.columns), max(CELLS_PER_CHUNK // len(self.columns), 1)
        with self._open() as file, self._reading():
            for _ in range(self.skip):
                next(file)
            reader, first_row = csv.reader(file, **self._dialect()), self.skip + 1
            while rows := list(islice(reader, step)):
                self._check_widths(rows, width, first_row, reader)
                if rows:
                    yield CsvChunk(self, first_row, rows)
                first_row += len(rows)

    def _check_widths(
        self, rows: list[list[str]], width: int, first_row: int, reader: Iterator[list[str]]
    ) -> None:
        """Raise DataError for a ragged row; drops empty lines at the end of the file."""
        if set(map(len, rows)) == {width}:
            return
        i = next(i for i, row in enumerate(rows) if len(row) != width)
        if not any(rows[i:]) and next(reader, None) is None:
            del rows[i:]
            return
        raise DataError(
            f"{self.path}, row {first_row + i:,}: {len(rows[i])} cells found, needed {width} as in "
            f"the first row. Correct the row, or give the --delimiter"
        )


class Reading:
    """A block that reads a text file: what the libraries raise becomes a DataError."""

    def __init__(self, path: Path):
        """`path` is for the messages."""
        self.path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{self.path} is no UTF-8 text ({error}). Save it as UTF-8") from error
        if isinstance(error, (csv.Error, EOFError, gzip.BadGzipFile)):
            raise DataError(f"{self.path} cannot be read ({error}). Copy it again") from error


def is_number(cell: str) -> bool:
    """Whether the text is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
        cells = self.batch.column(self.place[column]).to_pylist()
        return ["" if cell is None else str(cell) for cell in cells]

    def integers(self, column: int) -> np.ndarray | None:
        """As `TableChunk.integers`."""
        cells = self.batch.column(self.place[column])
        if cells.null_count == 0 and str(cells.type).startswith(("int", "uint")):
            return cells.to_numpy(zero_copy_only=False).astype(np.int64)
        try:
            return np.fromiter(map(int, self.text(column)), np.int64, len(self))
        except (ValueError, OverflowError):
            return None

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """As `TableChunk.numbers`."""
        out = np.empty((len(self), len(columns)))
        for j, column in enumerate(columns):
            cells = self.batch.column(self.place[column])
            if cells.null_count:
                row = int(np.argmax(cells.is_null().to_numpy(zero_copy_only=False)))
                raise not_a_number(self.table, self.first_row + row, column, None)
            try:
                out[:, j] = cells.to_numpy(zero_copy_only=False)
            except (ValueError, TypeError):
                found = cells[0].as_py()
                raise not_a_number(self.table, self.first_row, column, found) from None
        return out


class ParquetTable:
    """A Parquet file; rows count from 1."""

    unit = "rows"

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
        with self._open() as file:
            self.columns = tuple(file.schema_arrow.names)
            self.size = file.metadata.num_rows

    def _open(self) -> Any:
        import pyarrow

        try:
            return self.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is no Parquet file, or damaged ({error})") from error

    def position(self) -> int:
        """Rows read so far."""
        return self.done

    def chunks(self, columns: Sequence[int]) -> Iterator[ParquetChunk]:
        """As `Table.chunks`."""
        import pyarrow

        self.done = 0
        names = [self.columns[column] for column in columns]
        step = max(CELLS_PER_CHUNK // max(len(columns), 1), 1)
        with self._open() as file:
            try:
                for batch in file.iter_batches(batch_size=step, columns=names):
                    place = {c: batch.schema.names.index(self.columns[c]) for c in columns}
                    yield ParquetChunk(self, self.done + 1, batch, place)
                    self.done += batch.num_rows
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"{self.path} is damaged ({error}). Copy it again") from error


def open_table(
    path: str | os.PathLike, *, delimiter: str | None = None, header: bool | None = None
) -> Table:
    """A table by its file's ending: Parquet, or else CSV."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist: needed a CSV or Parquet file")
    if path.suffix in PARQUET:
        return ParquetTable(path)
    return CsvTable(path, delimiter=delimiter, header=header)


def find_column(table: Table, wanted: str | None, usual: Sequence[str], option: str) -> int | None:
    """Position of the column `wanted`, else of the first of the `usual` names; None without any.

    Raises DataError when `wanted` is not there.
    """
    if wanted is None:
        return next((table.columns.index(name) for name in usual if name in table.columns), None)
    if wanted not in table.columns:
        raise DataError(
            f"{table.path} has no column {wanted!r} ({option}); found {', '.join(table.columns)}"
        )
    return table.columns.index(wanted)
