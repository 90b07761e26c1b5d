"""Graph stores of events, written: events are appended in chunks, in any order of their times.

They wait in unnamed temporary files beside the store, a file a column. At the end they are copied
to their places by (time, order of arrival), which costs 16 bytes an event where the stream was not
sorted, and chunks where it was. `graph_store` reads the result; data/FORMAT.md has the format.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.store.events import FEATURES, LABEL, SOURCE, SPLIT, TARGET, TIME, EventSpec
from batchgnn.store.format import FORMAT_GRAPH, atomic_file, create_aligned, create_store
from batchgnn.store.graph_store import id_dtype_of
from batchgnn.store.graph_writer import COPY_CHUNK_BYTES, FixedColumn, GrowingColumn
from batchgnn.store.labels import EVENTS
from batchgnn.store.seal import seal
from batchgnn.store.seeds import SPLITS
from batchgnn.store.taken import Record, to_json

VERTEX_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """What must be known of a stream before its first event is written.

    events      its `num_events` is not looked at
    shares      of train, validation and test, by time; None: every event is given with its split
    name_dtype  int64 or S*; None: the row number is the vertex's id
    """

    name: str
    num_vertices: int
    events: EventSpec
    shares: Sequence[float] | None = None
    licence: str = ""
    name_dtype: np.dtype | None = None


class EventWriter:
    """Appends vertices' names and events; made by `write_events`.

    num_loops, num_ties, num_by_part  counts, the last two once all is written
    num_classes                       one more than the largest label
    """

    def __init__(self, file: h5py.File, folder: Path, spec: StreamSpec, stack: ExitStack):
        """Temporary files lie in `folder` until `stack` closes them."""
        self.file, self.spec, self.taken = file, spec, Record()
        self.num_events = self.num_loops = self.num_ties = 0
        self.num_by_part = np.zeros(4, np.int64)
        self.is_sorted, self.last_time = True, None
        self.num_classes = 0
        self.layout = spec.events.layout(0, id_dtype_of(spec.num_vertices))
        self.spools = {
            name: GrowingColumn(folder, name, dtype) for name, (dtype, _) in self.layout.items()
        }
        for spool in self.spools.values():
            stack.callback(spool.spool.close)
        self.names: FixedColumn | None = None
        if spec.name_dtype is not None:
            self.names = FixedColumn(file, "vertex/name", (spec.num_vertices,), spec.name_dtype)

    def append_names(self, names: np.ndarray) -> None:
        """The next vertices' names, of `name_dtype`."""
        if self.names is not None:
            self.names.append(names)

    def append(self, columns: dict[str, np.ndarray]) -> None:
        """The next events: every dataset of the layout by name, of one length.

        `event/split` is left out where `shares` say it. Raises DataError for what cannot be.
        """
        columns = dict(columns)
        if self.spec.shares is not None:
            columns[SPLIT] = np.zeros(len(columns[TIME]), np.uint8)
        self._check(columns)
        time = columns[TIME]
        if len(time):
            ahead = time[0] if self.last_time is None else self.last_time
            self.is_sorted &= bool((np.diff(time, prepend=ahead) >= 0).all())
            self.last_time = time[-1]
        self.num_loops += int(np.count_nonzero(columns[SOURCE] == columns[TARGET]))
        if len(labels := columns.get(LABEL, time[:0])):
            self.num_classes = max(self.num_classes, 1 + int(labels.max()))
        self.num_events += len(time)
        for name, spool in self.spools.items():
            spool.append(np.ravel(columns[name]))

    def _check(self, columns: dict[str, np.ndarray]) -> None:
        if set(columns) != set(self.layout) or len(set(map(len, columns.values()))) != 1:
            raise DataError("an event lacks a column, or has one too many")
        for name in (SOURCE, TARGET):
            ids = columns[name]
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.spec.num_vertices:
                raise DataError(f"{name}: needed 0 to {self.spec.num_vertices - 1}")
        for name in {TIME, FEATURES} & set(columns):
            if not np.isfinite(columns[name]).all():
                raise DataError(f"{name}: NaN or infinity after event {self.num_events:,}")

    def order(self) -> np.ndarray | None:
        """int64 (E,): events by (time, arrival); None where they came so."""
        return None if self.is_sorted else np.argsort(self.appended(TIME), kind="stable")

    def finish(self) -> None:
        """Sort, place, split by time, write the attributes."""
        spec = self.spec
        if self.names is not None and self.names.done != spec.num_vertices:
            raise DataError(f"vertex/name: {self.names.done:,} rows, needed {spec.num_vertices:,}")
        order = self.order()
        for name in self.layout:
            self._place(name, order)
        time = self.file[TIME]
        parts = self.file[SPLIT][()] if spec.shares is None else self._split_by_time(time)
        self.num_by_part = np.bincount(parts, minlength=4)
        self.num_ties = sum(
            int(np.count_nonzero(np.diff(part) == 0)) for part in _overlapping(time, VERTEX_CHUNK)
        )
        self._place_vertices()
        self.file.attrs.update(
            name=spec.name,
            licence=spec.licence,
            directed=False,
            num_vertices=spec.num_vertices,
            num_edges=self.num_events,
            num_features=0,
            num_classes=self.num_classes,
            task=EVENTS,
            num_splits=1,
            events=replace(spec.events, num_events=self.num_events).to_json(),
        )

    def appended(self, name: str) -> np.ndarray:
        """A column in the order of arrival, as a map of its temporary file."""
        spool, (dtype, shape) = self.spools[name], self.layout[name]
        spool.spool.flush()
        rows = (self.num_events, *shape[1:])
        return np.memmap(spool.spool, dtype, "r", 0, rows) if spool.done else np.empty(rows, dtype)

    def _place(self, name: str, order: np.ndarray | None) -> None:
        """A column of the file, its events in order; None: as they came."""
        held, (dtype, shape) = self.appended(name), self.layout[name]
        dataset = create_aligned(self.file, name, held.shape, dtype)
        step = max(COPY_CHUNK_BYTES // (dtype.itemsize * max(int(np.prod(shape[1:])), 1)), 1)
        for begin in range(0, self.num_events, step):
            rows = slice(begin, min(begin + step, self.num_events))
            dataset[rows] = held[rows] if order is None else held[order[rows]]

    def _split_by_time(self, time: h5py.Dataset) -> np.ndarray:
        """uint8 (E,): parts by quantiles of time; events of the boundary's time lie before it."""
        parts = np.full(self.num_events, SPLITS["test"], np.uint8)
        reached = 0.0
        ends = []
        for share in (self.spec.shares or ())[:2]:
            reached += share
            ends.append(end_of_share(time, reached))
        parts[: max(ends)] = SPLITS["val"]
        parts[: ends[0]] = SPLITS["train"]
        if self.num_events:
            self.file[SPLIT][:] = parts
        return parts

    def _place_vertices(self) -> None:
        """What a graph store has of every vertex: no features, no label, no part of a split."""
        n = self.spec.num_vertices
        create_aligned(self.file, "vertex/features", (n, 0), np.float32)
        create_aligned(self.file, "vertex/label", (n, 0), np.uint8)
        split = FixedColumn(self.file, "vertex/split", (n,), np.uint8)
        for begin in range(0, n, VERTEX_CHUNK):
            split.append(np.zeros(min(VERTEX_CHUNK, n - begin), np.uint8))

    def keep(self, taken: Record) -> None:
        """Keep what was taken as what."""
        self.file.attrs["taken"] = to_json(taken)


def end_of_share(time: h5py.Dataset, share: float) -> int:
    """Number of events up to the quantile of time, those of its time with them.

    `t <= np.quantile(time, share)`, as TGN splits: the events up to the time at the place
    floor(share (E - 1)), for no time lies between that and the quantile.
    """
    if not len(time) or share <= 0:
        return 0
    place = min(int(share * (len(time) - 1) + 1e-9), len(time) - 1)
    last, end = time[place], place
    while end < len(time):
        part = time[end : end + VERTEX_CHUNK]
        more = int(np.searchsorted(part, last, side="right"))
        end += more
        if more < len(part):
            break
    return end


def _overlapping(rows: h5py.Dataset, step: int) -> Iterator[np.ndarray]:
    """Chunks that begin with the last row of the one before."""
    for begin in range(0, len(rows), step):
        yield rows[max(begin - 1, 0) : begin + step]


@contextmanager
def write_events(path: str | os.PathLike, spec: StreamSpec) -> Iterator[EventWriter]:
    """Write the graph store `path` of a stream; the block appends, and calls `finish`.

    It appears, whole, when the block ends well. Raises StoreError when `path` exists or the disk
    is full; nothing is left behind then.
    """
    path = Path(path)
    with atomic_file(path) as beside:
        with ExitStack() as stack, create_store(beside, FORMAT_GRAPH) as file:
            yield EventWriter(file, beside.parent, spec, stack)
        seal(beside)
