"""The user's own vertex ids, integers or text, mapped to rows.

All that a converter of edge lists holds in memory. Integers take 12 to 24 bytes a vertex, 24 to 40
where they lie far apart; texts their UTF-8 and 24 to 40.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.id_sets import IntegerSet, MarkedIntegers, TextSet
from batchgnn.data.tables import Table, TableChunk
from batchgnn.kernels.id_table import look_up

NAME_CHUNK = 1 << 16
CLOSE = 4
"Integers are close where their range is at most so many times their number."


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
    """Integer ids: close ones by a row for each number of their range, others by a set."""

    name_dtype = np.dtype(np.int64)

    def __init__(self, ids: np.ndarray):
        """ids int64 (N,), N > 0, in the order of rows; `are_distinct` tells whether they are."""
        self.ids, self.num_vertices = ids, len(ids)
        self.low, high = int(ids.min()), int(ids.max())
        self.known: IntegerSet | None = None
        row = np.arange(len(ids), dtype=np.int32 if len(ids) < 2**31 else np.int64)
        if high - self.low < CLOSE * len(ids):
            self.row_of = np.full(high - self.low + 1, -1, row.dtype)
            self.row_of[ids - self.low] = row
            self.are_distinct = bool((self.row_of[ids - self.low] == row).all())
        else:
            self.known = IntegerSet()
            self.known.add(ids)
            self.are_distinct = self.known.count == len(ids)

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """As `RowIds.rows`."""
        ids = require_integers(chunk, column, table)
        if self.known is not None:
            rows = self.known.find(ids)
        else:
            rows = np.empty(len(ids), np.int64)
            look_up(ids, self.low, self.row_of, rows)
        if rows.min(initial=0) < 0:
            row = int(np.argmax(rows < 0))
            raise unknown(table, chunk.first_row + row, ids[row])
        return rows

    def names(self) -> Iterator[np.ndarray]:
        """As `RowIds.names`."""
        for begin in range(0, len(self.ids), NAME_CHUNK):
            yield self.ids[begin : begin + NAME_CHUNK]


class TextIds:
    """Text ids, stored as UTF-8 of the longest one's length."""

    def __init__(self, texts: TextSet):
        """texts: numbered in the order of rows."""
        self.texts, self.num_vertices = texts, texts.count
        self.name_dtype = np.dtype(f"S{max(texts.longest, 1)}")

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """As `RowIds.rows`."""
        rows = self.texts.find(chunk.cells(column))
        if rows.min(initial=0) < 0:
            row = int(np.argmax(rows < 0))
            raise unknown(table, chunk.first_row + row, chunk.text(column)[row])
        return rows

    def names(self) -> Iterator[np.ndarray]:
        """As `RowIds.names`."""
        for begin in range(0, self.num_vertices, NAME_CHUNK):
            yield self.texts.texts(begin, min(begin + NAME_CHUNK, self.num_vertices))


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


def ids_of_table(table: Table, column: int) -> Ids:
    """The ids of a vertex table, in its order; raises DataError for a duplicate or empty id."""
    numbers, first_row = [np.empty(0, np.int64)], 0
    for chunk in table.chunks([column]):
        first_row = first_row or chunk.first_row
        part = chunk.canonical(column)
        if part is None:
            break
        numbers.append(part)
    else:
        return _integers_of_table(table, first_row, np.concatenate(numbers))
    return TextIds(_texts_of_table(table, column))


def _integers_of_table(table: Table, first_row: int, ids: np.ndarray) -> Ids:
    if not len(ids):
        raise DataError(f"{table.path} has no rows: needed one for each vertex")
    if (ids == np.arange(len(ids))).all():
        return RowIds(len(ids))
    found = IntegerIds(ids)
    if not found.are_distinct:
        order = np.argsort(ids, kind="stable")
        again = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])[0]
        rows = sorted((order[again : again + 2] + first_row).tolist())
        raise _duplicate(table, rows, ids[order[again]])
    return found


def _texts_of_table(table: Table, column: int) -> TextSet:
    texts, first_row = TextSet(), 0
    for chunk in table.chunks([column]):
        first_row = first_row or chunk.first_row
        cells, known = chunk.cells(column), texts.count
        numbers = texts.add(cells)
        is_empty, expected = cells.begin == cells.end, known + np.arange(len(numbers))
        bad = is_empty | (numbers != expected)
        if bad.any():
            row = int(np.argmax(bad))
            place = first_row + known + row
            if is_empty[row]:
                raise DataError(f"{table.path}, row {place:,}: the vertex has no id. Give it one")
            rows = [first_row + int(numbers[row]), place]
            raise _duplicate(table, rows, chunk.text(column)[row])
    return texts


def _duplicate(table: Table, rows: Sequence[int], name: object) -> DataError:
    return DataError(
        f"{table.path}, rows {rows[0]:,} and {rows[1]:,}: vertex {name!s} is there twice. Keep one "
        f"row for each vertex"
    )


def ids_of_edges(table: Table, columns: Sequence[int]) -> Ids:
    """The ids that occur in these columns, sorted; for a graph without a vertex table."""
    numbers = _integers_of_edges(table, columns)
    if numbers is None:
        return TextIds(_texts_of_edges(table, columns))
    if (numbers == np.arange(len(numbers))).all():
        return RowIds(len(numbers))
    return IntegerIds(numbers)


def _integers_of_edges(table: Table, columns: Sequence[int]) -> np.ndarray | None:
    """int64 (N,) ascending; None when there are others."""
    found = MarkedIntegers()
    for chunk in table.chunks(columns):
        for column in columns:
            ids = chunk.canonical(column)
            if ids is None:
                return None
            found.add(ids)
    return found.sorted()


def _texts_of_edges(table: Table, columns: Sequence[int]) -> TextSet:
    texts = TextSet()
    for chunk in table.chunks(columns):
        for column in columns:
            cells = chunk.cells(column)
            is_empty = cells.begin == cells.end
            if is_empty.any():
                row = chunk.first_row + int(np.argmax(is_empty))
                raise DataError(f"{table.path}, row {row:,}: an edge without a vertex. Correct it")
            texts.add(cells)
    texts.sort()
    return texts
