"""Tables read in chunks of rows: CSV and its relatives, also packed (`parquet` has the others).

A cell is text or a number; the chunk turns columns into arrays and names the row of a bad cell.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.classes import NO_NUMBER, is_none
from batchgnn.data.headers import HeaderRule, is_number
from batchgnn.data.packed import DAMAGED, refuse_markup, unpacked

CELLS_PER_CHUNK = 1 << 18
"Cells held at a time: about 30 MiB as Python text."

COMMENT = ("#", "%")
LIST_NAME = "comma_separated_list_of_features"
"The last name in the header of JODIE's files: all columns from there on."

NUM_SAMPLE_LINES = 100
"Lines after the first that are looked at to tell a header from a row."


class TableChunk(Protocol):
    """Some consecutive rows of a table; columns are given by position."""

    first_row: int

    def __len__(self) -> int:
        """Rows."""

    def text(self, column: int) -> list[str]:
        """The cells as text, empty where there is nothing."""

    def integers(self, column: int) -> np.ndarray | None:
        """int64 (k,), or None when a cell is no integer."""

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
            ids = np.fromiter((int(row[column]) for row in self.rows), np.int64, len(self.rows))
        except (ValueError, OverflowError):
            return None
        return None if any("_" in row[column] for row in self.rows) else ids

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


class CsvTable:
    """A CSV, TSV or space-separated file, plain or packed.

    Lines that begin with # or % are comments. Unless told, the delimiter is the first of tab,
    comma, semicolon, space that the first line has. Empty cells that end every row (a delimiter
    too many) are no column.
    """

    unit = "bytes"
    files: tuple[str, ...] = ()

    def __init__(
        self, path: Path, *, delimiter: str | None = None, header: HeaderRule | bool
    ) -> None:
        """Read the first line; raises DataError when there is none.

        header  whether the first line names the columns, or who decides that
        """
        self.path, self.size = path, path.stat().st_size
        self.raw: BinaryIO | None = None
        self._widths: dict[int, int] = {}
        with self._open() as file:
            skipped, lines = self._first_lines(file)
        if not lines:
            raise DataError(f"{path} has no rows: needed a line for each edge or vertex")
        refuse_markup(lines[0], path)
        self.delimiter = delimiter_of(delimiter, lines[0], path)
        self.num_comments = skipped
        if self.delimiter == " ":
            lines = list(map(str.rstrip, lines))
        with self._reading():
            rows = list(csv.reader(lines, **self._dialect()))
        cells, *self.sample = [[cell.strip() for cell in row] for row in rows if row]
        self.width = len(cells)
        is_header = header if isinstance(header, bool) else header(self.path, cells, self.sample)
        self.has_header, self.first_cells = is_header, cells
        self.trailing = (
            self.width > 1
            and not cells[-1]
            and not any(row[-1] for row in self.sample if len(row) == self.width)
        )
        shown = cells[: -1 if self.trailing else None]
        if self.has_header and cells[-1].lower() == LIST_NAME and self.sample:
            shown = self._listed(cells)
        numbered = map(str, range(1, len(shown) + 1))
        self.columns = tuple(shown) if self.has_header else tuple(numbered)
        self.skip = skipped + self.has_header
        if self.has_header:
            refuse_twice(path, self.columns, ", or, if the first line is a row, say --no-header")

    @property
    def has_rows(self) -> bool:
        """As `Table.has_rows`."""
        return bool(self.sample) or not self.has_header

    def _listed(self, cells: list[str]) -> list[str]:
        """Names of all columns, where the last name of the header stands for all that follow."""
        self.width = max(len(self.sample[0]), len(cells))
        more = range(self.width - len(cells) + 1)
        return [*cells[:-1], *(f"feature_{i}" for i in more)]

    def width_of(self, column: int) -> int:
        """As `Table.width_of`."""
        rows = self.sample if self.has_header else [self.first_cells]
        if column not in self._widths:
            cell = rows[0][column] if rows and column < len(rows[0]) else ""
            found = None if is_number(cell) else vector_of(cell)
            self._widths[column] = max(len(found or ()), 1)
        return self._widths[column]

    def _dialect(self) -> dict:
        return {"delimiter": self.delimiter, "skipinitialspace": True, "strict": True}

    @contextmanager
    def _open(self) -> Iterator[io.TextIOWrapper]:
        with self._reading(), self.path.open("rb") as self.raw:
            file: Any = unpacked(self.raw, self.path)
            with Lines(file, encoding="utf-8-sig", newline="") as lines:
                yield lines

    def _first_lines(self, file: io.TextIOWrapper) -> tuple[int, list[str]]:
        """(lines before the first that is no comment, that one and some after it)."""
        with self._reading():
            for skipped, line in enumerate(file):
                if line.startswith("%%"):
                    refuse_markup(line, self.path)
                if not line.startswith(COMMENT) and line.strip():
                    more = islice(file, NUM_SAMPLE_LINES)
                    lines = [line, *(text for text in more if not text.startswith(COMMENT))]
                    return skipped, whole_lines(lines)
        return 0, []

    def _reading(self) -> "Reading":
        return Reading(self.path)

    def position(self) -> int:
        """Bytes of the (compressed) file read so far."""
        return self.size if self.raw is None or self.raw.closed else self.raw.tell()

    def chunks(self, columns: Sequence[int] = ()) -> Iterator[CsvChunk]:
        """As `Table.chunks`; raises DataError for a row with more or fewer cells than the first."""
        step, comments = max(CELLS_PER_CHUNK // self.width, 1), self.skip - self.has_header
        with self._open() as file, self._reading():
            for _ in range(self.skip):
                next(file)
            lines = map(str.rstrip, file) if self.delimiter == " " else file
            reader, first_row = csv.reader(lines, **self._dialect()), self.skip + 1
            while rows := list(islice(reader, step)):
                for at, run in self._runs(rows, first_row):
                    comments -= len(run)
                    self._check_widths(run, first_row + at, reader)
                    if run:
                        yield CsvChunk(self, first_row + at, run)
                comments += len(rows)
                first_row += len(rows)
        self.num_comments = comments

    def _runs(self, rows: list[list[str]], first_row: int) -> Iterator[tuple[int, list[list[str]]]]:
        """(place of its first row, run of rows) between comments."""
        begin = 0
        for i, row in enumerate(rows):
            if row and row[0].startswith(COMMENT):
                if len(row) == self.width and row[0][1:2].strip():
                    raise DataError(
                        f"{self.path}, row {first_row + i:,}: {row[0]!r} begins as a comment does, "
                        f"but the line has as many cells as a row. Remove it, or rename the vertex"
                    )
                if begin < i:
                    yield begin, rows[begin:i]
                begin = i + 1
        if begin < len(rows):
            yield begin, rows[begin:]

    def _check_widths(self, rows: list[list[str]], first_row: int, reader: Iterator) -> None:
        """Raise DataError for a ragged row; drops empty lines at the end of the file."""
        widths = set(map(len, rows))
        if widths != {self.width} and rows:
            i = next(i for i, row in enumerate(rows) if len(row) != self.width)
            if not any(rows[i:]) and next(reader, None) is None:
                del rows[i:]
            else:
                raise DataError(
                    f"{self.path}, row {first_row + i:,}: {len(rows[i])} cells found, needed "
                    f"{self.width} as in the first row. Correct the row, or give the --delimiter"
                )
        if self.trailing and any(row[-1].strip() for row in rows):
            i = next(i for i, row in enumerate(rows) if row[-1].strip())
            raise DataError(
                f"{self.path}, row {first_row + i:,}: the last cell is {rows[i][-1]!r}, but the "
                f"rows before end with a delimiter. Name the last column in a header"
            )


def delimiter_of(asked: str | None, line: str, path: Path) -> str:
    """The delimiter: as asked (\\t is tab), else of the first line."""
    if asked is None:
        return next((d for d in "\t,; " if d in line.strip()), ",")
    found = {"\\t": "\t", "tab": "\t", "space": " "}.get(asked, asked)
    if len(found) != 1 or found in '"\r\n\0':
        raise ConfigError(
            f"--delimiter {asked!r}: needed one character, or \\t for tab. Give the one that parts "
            f"the cells of {path}"
        )
    return found


def whole_lines(lines: list[str]) -> list[str]:
    """The lines, without the last ones when a quoted cell goes on after them."""
    while len(lines) > 1 and sum(line.count('"') for line in lines) % 2:
        lines.pop()
    return lines


def refuse_twice(path: Path, columns: Sequence[str], otherwise: str = "") -> None:
    """Raise DataError when two columns have one name."""
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise DataError(f"{path}: two columns are named {twice[0]!r}. Rename one{otherwise}")


class Lines(io.TextIOWrapper):
    """Lines of text; raises csv.Error where there is a byte 0, as binary files have."""

    def __next__(self) -> str:  # type: ignore[override]  # as the stubs of io have it
        """The next line."""
        if "\0" in (line := super().__next__()):
            raise csv.Error("it holds a byte 0, so it is no text")
        return line


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
        if isinstance(error, (csv.Error, *DAMAGED, OSError)):
            raise DataError(f"{self.path} cannot be read ({error}). Copy it again") from error
