"""Tables of text: CSV and its relatives, plain or packed.

Blocks of lines that are simply written are read as bytes, others by Python's reader, row by row.
"""

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data import tables
from batchgnn.data.blocks import BlockLines, blocks_of
from batchgnn.data.csv_chunks import CellChunk, CsvChunk, Rows, find
from batchgnn.data.headers import HeaderRule, is_number
from batchgnn.data.packed import DAMAGED, refuse_markup, unpacked
from batchgnn.data.tables import refuse_twice, vector_of

COMMENT = ("#", "%")
LIST_NAME = "comma_separated_list_of_features"
"The last name in the header of JODIE's files: all columns from there on."

NUM_SAMPLE_LINES = 100
"Lines after the first that are looked at to tell a header from a row."


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

    def chunks(self, columns: Sequence[int] | None = None) -> Iterator[CsvChunk]:
        """As `Table.chunks`; raises DataError for a row with more or fewer cells than the first.

        columns  None: all
        """
        columns = range(self.width) if columns is None else columns
        first_row, self.num_comments = self.skip + 1, self.skip - self.has_header
        with self._reading(), self.path.open("rb") as self.raw:
            blocks = blocks_of(unpacked(self.raw, self.path), self.skip)  # type: ignore[arg-type]
            for block in blocks:
                places = self._places(block, columns)
                if places is not None:
                    chunk = CellChunk(self, first_row, block, places, self._rows_of)
                    first_row += len(chunk)
                    yield chunk
                else:
                    first_row = yield from self._slow_chunks(block, blocks, first_row)

    def _places(self, block: bytes, columns: Sequence[int]) -> dict[int, tables.Cells] | None:
        if not self.delimiter.isascii() or not (self.delimiter >= " " or self.delimiter == "\t"):
            return None
        return find(block, self.delimiter, self.width, self.trailing, columns)

    def _rows_of(self, block: bytes) -> Rows:
        return list(csv.reader(self._lines(block, iter(())), **self._dialect()))

    def _lines(self, block: bytes, more: Iterator[bytes]) -> BlockLines:
        return BlockLines(block, more, str.rstrip if self.delimiter == " " else str)

    def _slow_chunks(
        self, block: bytes, more: Iterator[bytes], first_row: int
    ) -> Generator[CsvChunk, None, int]:
        """The rows of a block, and of those that a last quoted cell reaches into; the next row."""
        step, lines = max(tables.CELLS_PER_CHUNK // self.width, 1), self._lines(block, more)
        reader = csv.reader(lines, **self._dialect())
        while lines.waiting:
            rows = list(islice(reader, min(step, len(lines.waiting))))
            for at, run in self._runs(rows, first_row):
                self.num_comments -= len(run)
                self._check_widths(run, first_row + at, reader)
                if run:
                    yield CsvChunk(self, first_row + at, run)
            self.num_comments += len(rows)
            first_row += len(rows)
        return first_row

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
