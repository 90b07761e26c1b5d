"""`batchgnn data convert events`: a stream of events, CSV or Parquet -> a graph store of events.

Rows may come in any order; they are sorted by (time, row). Equal times, repeated events and events
of a vertex with itself are data. Ids other than row numbers are kept as `vertex/name`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin, check_finite
from batchgnn.data.convert import Report
from batchgnn.data.convert_edges import shown
from batchgnn.data.event_columns import EventColumns, open_events
from batchgnn.data.event_options import DEFAULT_SHARES, EventOptions
from batchgnn.data.id_sets import distinct
from batchgnn.data.ids import Ids, ids_of_edges
from batchgnn.data.npy_features import NpyFeatures
from batchgnn.data.sided_ids import SidedIds
from batchgnn.data.tables import Table, TableChunk
from batchgnn.store.event_writer import EventWriter, StreamSpec, write_events
from batchgnn.store.events import FEATURES, LABEL, SOURCE, SPLIT, TARGET, TIME, EventSpec
from batchgnn.store.format import refuse_existing
from batchgnn.store.seeds import SPLITS
from batchgnn.store.taken import Record, lines_of

PARTS = {str(i): part for i, part in enumerate(SPLITS.values())} | {
    **SPLITS,
    "valid": SPLITS["val"],
    "validation": SPLITS["val"],
}
"Cells of a split's column, to values of `event/split`."

Columns = dict[str, np.ndarray]


def convert_events(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: EventOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the events in the file `source` to the graph store `out`.

    Raises DataError for a bad file, ConfigError for a bad option, StoreError when `out` exists.
    """
    options = options or EventOptions()
    options.check()
    refuse_existing(out)
    table, columns = open_events(Path(source), options)
    npy = None if options.features_npy is None else NpyFeatures(options.features_npy)
    ends = columns.source, columns.target
    ids = SidedIds(table, ends) if columns.two_sided else ids_of_edges(table, ends)
    reader = EventReader(table, columns, ids, npy, options)
    with write_events(out, reader.spec()) as writer:
        for names in ids.names():
            writer.append_names(names)
        with shown(f"{reader.name}: events", table, show) as advance:
            reader.append_to(writer, advance)
        writer.finish()
        if not writer.num_events:
            raise DataError(f"{table.path} has no events, needed some: is this the right file?")
        taken = reader.taken() | counted(writer)
        writer.keep(taken)
        return Report(Path(out), tuple(lines(writer, taken)))


class EventReader:
    """Turns the rows of a table into columns of the store."""

    def __init__(
        self,
        table: Table,
        columns: EventColumns,
        ids: Ids | SidedIds,
        npy: NpyFeatures | None,
        options: EventOptions,
    ):
        """Reads the column of times once, to know whether all are whole numbers."""
        self.table, self.columns, self.ids, self.options = table, columns, ids, options
        self.npy, self.name = npy, options.name or table.path.name.split(".")[0]
        self.time_dtype = time_dtype_of(table, columns.time)
        self.matrix = None if npy is None else np.memmap(
            npy.path, npy.dtype, "r", npy.offset_bytes, npy.shape
        )  # fmt: skip

    @property
    def num_features(self) -> int:
        """Numbers of an event."""
        if self.npy is not None:
            return self.npy.shape[1]
        return sum(self.table.width_of(column) for column in self.columns.features)

    def spec(self) -> StreamSpec:
        """What is known of the stream."""
        has_split = self.columns.split is not None
        return StreamSpec(
            name=self.name,
            num_vertices=self.ids.num_vertices,
            licence=self.options.licence,
            name_dtype=self.ids.name_dtype,
            shares=None if has_split else self.options.split or DEFAULT_SHARES,
            events=EventSpec(
                time_dtype=self.time_dtype.name,
                num_features=self.num_features,
                feature_dtype=self.options.feature_dtype,
                has_label=self.columns.label is not None,
            ),
        )

    def append_to(self, writer: EventWriter, advance: Callable[[], None]) -> None:
        """Append all rows; raises DataError where one cannot be."""
        done = 0
        for chunk in self.table.chunks(sorted(self.columns.used)):
            writer.append(self._columns_of(chunk, done))
            done += len(chunk)
            advance()
        if self.matrix is not None and done != len(self.matrix):
            raise self._wrong_rows(done)
        if self.columns.split is not None:
            refuse_mixed_split(writer, self.table, self.columns.split)

    def _wrong_rows(self, done: int) -> DataError:
        found = 0 if self.npy is None else self.npy.shape[0]
        return DataError(
            f"{self.options.features_npy} has {found:,} rows, {self.table.path} has {done:,} "
            "events; needed a row of features for each event, in the same order"
        )

    def _columns_of(self, chunk: TableChunk, done: int) -> Columns:
        c, table = self.columns, self.table
        found = {
            SOURCE: self.ids.rows(chunk, c.source, table),
            TARGET: self.ids.rows(chunk, c.target, table),
            TIME: times(table, chunk, c.time, self.time_dtype),
        }
        if c.label is not None:
            found[LABEL] = event_labels(table, chunk, c.label)
        if c.split is not None:
            found[SPLIT] = event_parts(table, chunk, c.split)
        if self.num_features:
            found[FEATURES] = self._features(chunk, done)
        return found

    def _features(self, chunk: TableChunk, done: int) -> np.ndarray:
        if self.matrix is None:
            origin = Origin(str(self.table.path), chunk.first_row)
            rows = chunk.numbers(self.columns.features)
        else:
            origin = Origin(str(self.options.features_npy), done)
            rows = np.asarray(self.matrix[done : done + len(chunk)])
            if len(rows) < len(chunk):
                raise self._wrong_rows(done + len(chunk))
        with np.errstate(over="ignore"):
            rows = rows.astype(self.options.feature_dtype)
        check_finite(rows, origin)
        return rows

    def taken(self) -> Record:
        """What was taken as what."""
        c, names = self.columns, self.table.columns
        features: str | list[str] = [names[column] for column in c.features]
        if self.npy is not None:
            features = f"{self.npy.path.name}, {self.num_features:,} columns"
        unused = [name or "(unnamed)" for i, name in enumerate(names) if i not in c.used]
        shares = " ".join(f"{share:g}" for share in self.options.split or DEFAULT_SHARES)
        said: Record = {
            "layout": self.options.layout,
            "header": f"{'first line' if self.table.has_header else 'none, the first line is'}: "
            + ", ".join(self.table.first_cells[:6]),
            "files, in this order": list(self.table.files),
            "source": f"column {names[c.source]}",
            "target": f"column {names[c.target]}",
            "time": f"column {names[c.time]}, {self.time_dtype.name}",
            "label": "none" if c.label is None else f"column {names[c.label]}",
            "features": features,
            "split": f"by time: {shares} (train, validation, test)"
            if c.split is None
            else f"column {names[c.split]}",
            "columns not used": unused,
        }
        return {key: value for key, value in said.items() if value not in ("", [])}


def time_dtype_of(table: Table, column: int) -> np.dtype:
    """int64 when every time is a whole number, else float64; no other is precise enough."""
    whole = all(chunk.integers(column) is not None for chunk in table.chunks([column]))
    return np.dtype(np.int64 if whole else np.float64)


def times(table: Table, chunk: TableChunk, column: int, dtype: np.dtype) -> np.ndarray:
    """`dtype` (k,); raises DataError for a time that is missing or not finite, by its row."""
    found = chunk.integers(column) if dtype.kind == "i" else chunk.numbers([column])[:, 0]
    if found is None:
        raise DataError(f"{table.path} was changed while it was read. Convert it again")
    check_finite(found, Origin(str(table.path), chunk.first_row), "time")
    return found


def event_labels(table: Table, chunk: TableChunk, column: int) -> np.ndarray:
    """int32 (k,), -1 = none; raises DataError for a label that is no whole number."""
    found = chunk.numbers([column])[:, 0]
    good = (found == np.floor(found)) & (found >= -1) & (found < 2**31)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"{table.path}, row {chunk.first_row + row:,}, column {table.columns[column]}: the "
            f"label is {found[row]}, needed a whole number, -1 for none. Correct it"
        )
    return found.astype(np.int32)


def event_parts(table: Table, chunk: TableChunk, column: int) -> np.ndarray:
    """uint8 (k,): 1 train, 2 validation, 3 test; raises DataError for another cell."""
    texts, which = distinct(chunk.cells(column))
    cells = [cell.lower() for cell in texts]
    bad = [n for n, cell in enumerate(cells) if cell.removesuffix(".0") not in PARTS]
    if bad:
        row = chunk.first_row + int(np.argmax(which == bad[0]))
        raise DataError(
            f"{table.path}, row {row:,}, column {table.columns[column]}: the split is "
            f"{cells[bad[0]]!r}, needed 0, 1, 2 or train, val, test. Correct it, or split by time: "
            "--split 0.7 0.15 0.15"
        )
    return np.array([PARTS[cell.removesuffix(".0")] for cell in cells], np.uint8)[which]


def refuse_mixed_split(writer: EventWriter, table: Table, column: int) -> None:
    """Raise DataError where, in the order of time, a part comes back after a later one."""
    order, parts = writer.order(), writer.appended(SPLIT)
    ordered = parts if order is None else parts[order]
    back = np.flatnonzero(ordered[1:] < ordered[:-1])
    if len(back):
        event = int(back[0]) + 1 if order is None else int(order[back[0] + 1])
        part = {value: name for name, value in SPLITS.items()}[int(parts[event])]
        raise DataError(
            f"{table.path}, column {table.columns[column]}: event {event + 1:,} is of {part}, but "
            "an earlier one is of a later part; needed train, then val, then test in the order of "
            "time. Correct it, or split by time: --split 0.7 0.15 0.15"
        )


def counted(writer: EventWriter) -> Record:
    """What was counted while the stream was written."""
    parts = dict(zip(("none", *SPLITS), writer.num_by_part.tolist(), strict=True))
    return {
        "order": "by time" if writer.is_sorted else "not by time: sorted by time, then by row",
        "events of each part": {name: n for name, n in parts.items() if n or name != "none"},
        "events at the time of the one before": writer.num_ties,
        "events of a vertex with itself": writer.num_loops,
    }


def lines(writer: EventWriter, taken: Record) -> Iterator[str]:
    """What the report says."""
    spec = writer.spec
    yield (
        f"{spec.num_vertices:,} vertices, {writer.num_events:,} events, "
        f"{spec.events.num_features:,} features"
    )
    yield from (f"{key}: {value}" for key, value in lines_of(taken))
    for part, value in SPLITS.items():
        if not writer.num_by_part[value]:
            yield f"warning: no event is of {part}"
