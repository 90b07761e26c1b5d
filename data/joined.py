"""Several files as one table, read one after another: those of a folder by name, or as given."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchgnn.base.errors import DataError
from batchgnn.data.headers import HeaderRule
from batchgnn.data.parquet import is_parquet, open_table
from batchgnn.data.tables import Table, TableChunk


class JoinedTable:
    """Tables with the same columns, one after another.

    path  what was given first; while rows are read, the file that they are of, for messages
    """

    def __init__(self, path: Path, parts: Sequence[Table]):
        """Raises DataError unless the parts are alike."""
        first = parts[0]
        for part in parts[1:]:
            _refuse_unlike(first, part)
        self.path = self.given = path
        self.parts, self.done = parts, 0
        self.columns, self.first_cells = first.columns, first.first_cells
        self.sample, self.has_header, self.unit = first.sample, first.has_header, first.unit
        self.size = sum(part.size for part in parts)
        self.has_rows = any(part.has_rows for part in parts)
        self.files = tuple(part.path.name for part in parts)
        self._reading: Table | None = None

    @property
    def num_comments(self) -> int:
        """As `Table.num_comments`."""
        return sum(part.num_comments for part in self.parts)

    def chunks(self, columns: Sequence[int]) -> Iterator[TableChunk]:
        """As `Table.chunks`; rows count within their file."""
        self.done = 0
        for part in self.parts:
            self.path, self._reading = part.path, part
            yield from part.chunks(columns)
            self.done += part.size
            self._reading = None
        self.path = self.given

    def position(self) -> int:
        """As `Table.position`."""
        return self.done + (0 if self._reading is None else self._reading.position())

    def width_of(self, column: int) -> int:
        """As `Table.width_of`; raises DataError where files differ."""
        known = [part for part in self.parts if part.has_rows] or self.parts[:1]
        for part in known:
            found, needed = part.width_of(column), known[0].width_of(column)
            if found != needed:
                raise DataError(
                    f"{part.path}, column {self.columns[column]}: {found} numbers in a cell, "
                    f"needed {needed} as in {known[0].path}. Correct it, or choose other columns"
                )
        return known[0].width_of(column)


def _refuse_unlike(first: Table, part: Table) -> None:
    if part.unit != first.unit:
        raise DataError(
            f"{part.path} and {first.path}: one is Parquet, the other text; needed files of one "
            "kind. Convert one of them"
        )
    if part.columns != first.columns:
        raise DataError(
            f"{part.path} has the columns {', '.join(part.columns[:20])}, but {first.path} has "
            f"{', '.join(first.columns[:20])}; needed the same in all files, in the same order"
        )


def open_tables(
    paths: Sequence[str | os.PathLike],
    *,
    delimiter: str | None = None,
    header: HeaderRule | bool,
) -> Table:
    """The table of all files, in this order; a folder stands for its files by name.

    Where the first file has a header, others may repeat it, or go on without.
    """
    given = [Path(path) for path in paths]
    files = [file for path in given for file in files_of(path)]
    first = open_table(files[0], delimiter=delimiter, header=header)
    if files == given and len(files) == 1:
        return first
    rule = header_after(first, header)
    rest = [open_table(file, delimiter=delimiter, header=rule) for file in files[1:]]
    for part in rest:
        if first.has_header and not part.has_header and len(part.columns) == len(first.columns):
            part.columns = first.columns
    return JoinedTable(given[0], [first, *rest])


def header_after(first: Table, header: HeaderRule | bool) -> HeaderRule | bool:
    """Which later files have a header: none when the first has not, else those that repeat it."""
    if not first.has_header or header is True:
        return first.has_header

    def rule(path: Path, cells: list[str], sample: list[list[str]]) -> bool:
        repeats = cells == first.first_cells
        return repeats or (not isinstance(header, bool) and header(path, cells, sample))

    return rule


def files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder by name; raises DataError for other things in it.

    Names that begin with _ or a dot, as Spark writes them, are passed over.
    """
    if not path.is_dir():
        return [path]
    found = [p for p in sorted(path.iterdir()) if not p.name.startswith(("_", "."))]
    folders = [p.name for p in found if not p.is_file()]
    if not found or folders:
        what = f"found the folder {folders[0]}" if folders else "it is empty"
        raise DataError(f"{path} is a folder, needed one of CSV or Parquet files ({what})")
    kinds = [is_parquet(p) for p in found]
    if any(kinds) and not all(kinds):
        other = found[kinds.index(False)].name
        raise DataError(
            f"{path} is a folder, needed one with nothing but Parquet files, or text "
            f"(found {other} beside {found[kinds.index(True)].name}). Give a file"
        )
    return found
