"""The user's own vertex ids, integers or text, mapped to rows.

All that a converter of edge lists holds in memory: integers take 16 bytes a vertex (a sorted array
and its rows), text about 120 (a dictionary).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.tables import Table, TableChunk

NAME_CHUNK = 1 << 16


class RowIds:
    """Ids that are the row numbers: nothing to look up, nothing to store."""

    name_dtype = None

    def __init__(self, num_vertices: int):
        """Ids 0 .. num_vertices - 1."""
        self.num_vertices = num_vertices

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """int64 (k,): rows of the ids in a column; raises DataError for an unknown one."""
        ids = require_integers(chunk, column, table)
        check_ids(ids, self.num_vertices, Origin(str(table.path), chunk.first_row))
        return ids

    def names(self) -> Iterator[np.ndarray]:
        """The ids in the order of rows, in chunks; none are stored."""
        return iter(())


class IntegerIds:
    """Integer ids."""

    name_dtype = np.dtype(np.int64)

    def __init__(self, ids: np.ndarray):
        """ids int64 (N,), distinct, in the order of rows."""
        self.num_vertices, self.row = len(ids), np.argsort(ids, kind="stable")
        self.sorted = ids[self.row]

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """As `RowIds.rows`."""
        ids = require_integers(chunk, column, table)
        if self.num_vertices == 0 and len(ids):
            raise unknown(table, chunk.first_row, ids[0])
        place = np.minimum(np.searchsorted(self.sorted, ids), self.num_vertices - 1)
        missing = self.sorted[place] != ids
        if missing.any():
            row = int(np.argmax(missing))
            raise unknown(table, chunk.first_row + row, ids[row])
        return self.row[place]

    def names(self) -> Iterator[np.ndarray]:
        """As `RowIds.names`."""
        ids = np.empty_like(self.sorted)
        ids[self.row] = self.sorted
        for begin in range(0, len(ids), NAME_CHUNK):
            yield ids[begin : begin + NAME_CHUNK]


class TextIds:
    """Text ids, stored as UTF-8 of the longest one's length."""

    def __init__(self, ids: list[str]):
        """ids distinct, in the order of rows."""
        self.row = {name: row for row, name in enumerate(ids)}
        self.num_vertices = len(ids)
        longest = max((len(name.encode()) for name in self.row), default=1)
        self.name_dtype = np.dtype(f"S{max(longest, 1)}")

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """As `RowIds.rows`."""
        names = chunk.text(column)
        try:
            return np.fromiter(map(self.row.__getitem__, names), np.int64, len(names))
        except KeyError:
            row = next(i for i, name in enumerate(names) if name not in self.row)
            raise unknown(table, chunk.first_row + row, names[row]) from None

    def names(self) -> Iterator[np.ndarray]:
        """As `RowIds.names`."""
        names = list(self.row)
        for begin in range(0, len(names), NAME_CHUNK):
            part = [name.encode() for name in names[begin : begin + NAME_CHUNK]]
            yield np.array(part, self.name_dtype)


Ids = RowIds | IntegerIds | TextIds


def unknown(table: Table, row: int, found: object) -> DataError:
    """The error for an edge to a vertex that the vertex table lacks."""
    shown = "(empty)" if found == "" else found
    return DataError(
        f"{table.path}, row {row:,}: vertex {shown} is not in the vertex table. Add it there, or "
        f"remove the edge"
    )


def require_integers(chunk: TableChunk, column: int, table: Table) -> np.ndarray:
    """int64 (k,); raises DataError when an id is no integer."""
    ids = chunk.integers(column)
    if ids is None:
        cells = chunk.text(column)
        row = next(i for i, cell in enumerate(cells) if not is_integer(cell))
        raise DataError(
            f"{table.path}, row {chunk.first_row + row:,}, column {table.columns[column]}: "
            f"{cells[row]!r} is no vertex: needed an integer of 64 bits, as the other vertices have"
        )
    return ids


def is_integer(cell: str) -> bool:
    """Whether the text is an integer of 64 bits."""
    try:
        return -(2**63) <= int(cell) < 2**63 and "_" not in cell
    except ValueError:
        return False


def canonical_integers(chunk: TableChunk, column: int) -> np.ndarray | None:
    """int64 (k,) when every cell is an integer as one writes it (`7`, not `007` or `7.0`)."""
    ids = chunk.integers(column)
    if ids is None or chunk.text(column) != list(map(str, ids.tolist())):
        return None
    return ids


def ids_of_table(table: Table, column: int) -> Ids:
    """The ids of a vertex table, in its order; raises DataError for a duplicate or empty id."""
    numbers: list[np.ndarray] | None = []
    texts: list[str] = []
    first_row = 1
    for chunk in table.chunks([column]):
        if not texts and not numbers:
            first_row = chunk.first_row
        part = canonical_integers(chunk, column) if numbers is not None else None
        if part is not None and numbers is not None:
            numbers.append(part)
            continue
        if numbers is not None:
            texts, numbers = [str(i) for old in numbers for i in old.tolist()], None
        texts.extend(chunk.text(column))
    if numbers is None:
        _refuse_duplicates(table, first_row, texts)
        return TextIds(texts)
    ids = np.concatenate([np.empty(0, np.int64), *numbers])
    if not len(ids):
        raise DataError(f"{table.path} has no rows: needed one for each vertex")
    if (ids == np.arange(len(ids))).all():
        return RowIds(len(ids))
    found = IntegerIds(ids)
    again = np.flatnonzero(found.sorted[1:] == found.sorted[:-1])
    if len(again):
        rows = sorted(found.row[again[0] : again[0] + 2] + first_row)
        raise _duplicate(table, rows, found.sorted[again[0]])
    return found


def _refuse_duplicates(table: Table, first_row: int, texts: list[str]) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(texts, first_row):
        if not name:
            raise DataError(f"{table.path}, row {row:,}: the vertex has no id. Give it one")
        if seen.setdefault(name, row) != row:
            raise _duplicate(table, [seen[name], row], name)


def _duplicate(table: Table, rows: Sequence[int], name: object) -> DataError:
    return DataError(
        f"{table.path}, rows {rows[0]:,} and {rows[1]:,}: vertex {name!s} is there twice. Keep one "
        f"row for each vertex"
    )


def ids_of_edges(table: Table, columns: Sequence[int]) -> Ids:
    """The ids that occur in these columns, sorted; for a graph without a vertex table."""
    numbers, pending = np.empty(0, np.int64), [np.empty(0, np.int64)]
    texts: set[str] | None = None
    for chunk in table.chunks(columns):
        parts = [canonical_integers(chunk, column) for column in columns] if texts is None else []
        if texts is None and all(part is not None for part in parts):
            pending.append(np.unique(np.concatenate(parts)))  # type: ignore[arg-type]
            if sum(map(len, pending)) > max(len(numbers), NAME_CHUNK):
                numbers, pending = np.unique(np.concatenate([numbers, *pending])), []
            continue
        if texts is None:
            texts = set(map(str, np.concatenate([numbers, *pending]).tolist()))
        for column in columns:
            names = chunk.text(column)
            if "" in names:
                row = chunk.first_row + names.index("")
                raise DataError(f"{table.path}, row {row:,}: an edge without a vertex. Correct it")
            texts.update(names)
    if texts is not None:
        return TextIds(sorted(texts))
    numbers = np.unique(np.concatenate([numbers, *pending]))
    if (numbers == np.arange(len(numbers))).all():
        return RowIds(len(numbers))
    return IntegerIds(numbers)
