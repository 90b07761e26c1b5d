"""`batchgnn data convert ogb`: an OGB node-property folder, as downloaded -> a graph store.

    raw/edge.csv.gz  node-feat.csv.gz  node-label.csv.gz  num-node-list.csv.gz     or
    raw/data.npz (edge_index, node_feat, num_nodes_list)  node-label.npz (node_label)
    split/SCHEME/train.csv.gz  valid.csv.gz  test.csv.gz

Its edges are arcs; `undirected` mirrors them (OGB's `add_inverse_edge`).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.base.progress import progress
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import (
    EDGE_CHUNK,
    FEATURE_CHUNK_BYTES,
    Arcs,
    ConvertOptions,
    EdgeChunk,
    Report,
    append_edges,
    append_random_split,
    prepare_features,
    report,
    split_note,
)
from batchgnn.data.ids import require_integers
from batchgnn.data.labels import check_labels, task_of
from batchgnn.data.npz_file import NpzFile
from batchgnn.data.tables import CsvTable
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_writer import (
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    GraphSpec,
    GraphStoreWriter,
    write_graph,
)
from batchgnn.store.labels import MULTILABEL

PARTS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
ROW_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class OgbOptions(ConvertOptions):
    """Options of `convert ogb`."""

    undirected: bool = False
    "Mirror every edge, as OGB does for the graphs that it marks with add_inverse_edge."

    scheme: str | None = None
    "Folder below split/, when there are several."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        if self.undirected and self.arcs not in (None, "once"):
            raise ConfigError(f"--undirected and --arcs {self.arcs}: leave out one of the two")


Rows = Iterator[tuple[Origin, np.ndarray]]


class Raw(Protocol):
    """The folder raw/ of a dataset, in either form."""

    num_vertices: int
    num_features: int
    num_label_columns: int
    num_edges: int

    def features(self) -> Rows:
        """Chunks of (k, D) numbers."""

    def labels(self) -> Rows:
        """Chunks of (k, columns) numbers, NaN = none."""

    def edges(self) -> Iterator[EdgeChunk]:
        """Chunks of arcs, checked."""


def convert_ogb(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: OgbOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the dataset folder `source` to the graph store `out`.

    Raises DataError for a bad dataset, ConfigError for a bad option, StoreError when `out` exists.
    """
    options, source = options or OgbOptions(), Path(source)
    options.check()
    refuse_existing(out)
    arcs: Arcs = options.arcs or ("once" if options.undirected else "directed")
    with ExitStack() as stack:
        raw = open_raw(source, stack)
        split = None if options.split is not None else read_split(source, options, raw.num_vertices)
        task = task_of(options.task, raw.num_label_columns, f"{source}/raw")
        spec = GraphSpec(
            name=options.name or source.resolve().name,
            licence=options.licence,
            num_vertices=raw.num_vertices,
            directed=arcs == "directed",
            num_features=raw.num_features,
            feature_dtype=options.dtype,
            task=task,
            num_classes=raw.num_label_columns if task == MULTILABEL else options.classes,
        )
        writer = stack.enter_context(write_graph(out, spec))
        with progress(f"{spec.name}: features", spec.num_vertices, "rows", show=show) as bar:
            append_features(raw, writer, options, bar.advance)
        append_labels(raw, writer, options, split)
        with progress(f"{spec.name}: edges", raw.num_edges, "edges", show=show) as bar:
            loops = append_edges(writer, raw.edges, arcs, options, f"{source}/raw", bar.advance)
    note = split_note(options) if split is None else "its own split kept"
    return report(Path(out), writer, loops, note)


def append_features(
    raw: Raw, writer: GraphStoreWriter, options: OgbOptions, advance: Callable[[int], None]
) -> None:
    """Append all features; a dataset may have none."""
    if raw.num_features == 0:
        writer.append_features(np.empty((raw.num_vertices, 0), np.float32))
        return
    done = 0
    for origin, rows in raw.features():
        check_rows(origin.file, max(done + len(rows), raw.num_vertices), raw.num_vertices)
        writer.append_features(prepare_features(rows, options, origin))
        done += len(rows)
        advance(len(rows))
    check_rows(origin.file, done, raw.num_vertices)


def append_labels(
    raw: Raw, writer: GraphStoreWriter, options: OgbOptions, split: np.ndarray | None
) -> None:
    """Append labels and split."""
    first = 0
    for origin, rows in raw.labels():
        check_rows(origin.file, max(first + len(rows), raw.num_vertices), raw.num_vertices)
        labels = check_labels(rows, writer.spec, origin)
        writer.append_labels(labels)
        if split is None:
            append_random_split(writer, options, first, labels)
        else:
            writer.append_split(split[first : first + len(labels)])
        first += len(labels)
    check_rows(origin.file, first, raw.num_vertices)


def check_rows(file: str, found: int, needed: int) -> None:
    """Raise DataError unless a file has a row for each vertex."""
    if found != needed:
        raise DataError(
            f"{file}: {found:,} rows found, but the graph has {needed:,} vertices. Download the "
            f"dataset again"
        )


def open_raw(source: Path, stack: ExitStack) -> Raw:
    """The raw files of a dataset; raises DataError when there are none."""
    if (source / "raw" / "data.npz").is_file():
        return RawNpz(source / "raw", stack)
    if find_csv(source / "raw" / "edge") is not None:
        return RawCsv(source / "raw")
    raise DataError(
        f"{source}: neither raw/edge.csv.gz nor raw/data.npz is there: needed the folder of an OGB "
        f"node-property dataset, as ogbn_arxiv/"
    )


def find_csv(stem: Path) -> Path | None:
    """`stem`.csv.gz or `stem`.csv, whichever is there."""
    found = (stem.with_name(stem.name + ending) for ending in (".csv.gz", ".csv"))
    return next((path for path in found if path.is_file()), None)


def need_csv(stem: Path) -> CsvTable:
    """The table at `stem`; raises DataError when it is missing."""
    path = find_csv(stem)
    if path is None:
        raise DataError(f"{stem}.csv.gz does not exist. Download the dataset again")
    return CsvTable(path, delimiter=",", header=False)


def read_integers(table: CsvTable) -> Iterator[tuple[Origin, np.ndarray]]:
    """The first column of a table as int64, in chunks."""
    for chunk in table.chunks([0]):
        yield Origin(str(table.path), chunk.first_row), require_integers(chunk, 0, table)


def read_split(source: Path, options: OgbOptions, num_vertices: int) -> np.ndarray:
    """uint8 (N,): the dataset's own split. One byte a vertex is held in memory."""
    folders = sorted(path for path in (source / "split").glob("*") if path.is_dir())
    if options.scheme is not None:
        folders = [path for path in folders if path.name == options.scheme]
    if len(folders) != 1:
        found = ", ".join(path.name for path in folders) or "none"
        raise DataError(
            f"{source / 'split'}: needed one folder of splits, found {found}. Choose with "
            f"--scheme, or draw a random split with --split 0.6 0.2 0.2"
        )
    split = np.full(num_vertices, NONE, np.uint8)
    for name, part in PARTS.items():
        for origin, ids in read_integers(need_csv(folders[0] / name)):
            check_ids(ids, num_vertices, origin)
            if (split[ids] != NONE).any():
                row = int(np.argmax(split[ids] != NONE))
                raise DataError(f"{origin.at(row)}: vertex {ids[row]} is in two parts of the split")
            split[ids] = part
    return split


class RawCsv:
    """`raw/*.csv.gz`."""

    def __init__(self, folder: Path):
        """Read the first lines; raises DataError when a file is missing."""
        self.edge, self.label = need_csv(folder / "edge"), need_csv(folder / "node-label")
        self.feature = None
        if find_csv(folder / "node-feat") is not None:
            self.feature = need_csv(folder / "node-feat")
        counts = np.concatenate([n for _, n in read_integers(need_csv(folder / "num-node-list"))])
        if len(counts) != 1:
            raise DataError(f"{folder}/num-node-list.csv.gz: {len(counts)} graphs, needed one")
        self.num_vertices = int(counts[0])
        self.num_features = 0 if self.feature is None else len(self.feature.columns)
        self.num_label_columns = len(self.label.columns)
        num_edges = folder / "num-edge-list"
        has_count = find_csv(num_edges) is not None
        parts = [n.sum() for _, n in read_integers(need_csv(num_edges))] if has_count else []
        self.num_edges = int(sum(parts))
        if len(self.edge.columns) != 2:
            raise DataError(f"{self.edge.path}: needed two columns, found {len(self.edge.columns)}")

    def _numbers(self, table: CsvTable) -> Rows:
        for chunk in table.chunks():
            origin = Origin(str(table.path), chunk.first_row)
            yield origin, chunk.numbers(range(len(table.columns)))

    def features(self) -> Rows:
        """As `Raw.features`."""
        return iter(()) if self.feature is None else self._numbers(self.feature)

    def labels(self) -> Rows:
        """As `Raw.labels`."""
        return self._numbers(self.label)

    def edges(self) -> Iterator[EdgeChunk]:
        """As `Raw.edges`."""
        for chunk in self.edge.chunks():
            origin = Origin(str(self.edge.path), chunk.first_row)
            ends = chunk.integers(0), chunk.integers(1)
            if ends[0] is None or ends[1] is None:
                raise DataError(
                    f"{origin.file}: a vertex is no integer, after row {origin.first_row}"
                )
            for ids in ends:
                check_ids(ids, self.num_vertices, origin)  # type: ignore[arg-type]
            yield ends[0], ends[1], None


class RawNpz:
    """`raw/data.npz` and `raw/node-label.npz`."""

    def __init__(self, folder: Path, stack: ExitStack):
        """Read the headers; raises DataError when an array is missing."""
        self.data = stack.enter_context(NpzFile(folder / "data.npz"))
        self.label = stack.enter_context(NpzFile(folder / "node-label.npz"))
        self.num_edges = self.data.shape("edge_index")[1]
        self.data.shape("num_nodes_list")
        self.num_vertices = int(self.data.read("num_nodes_list").sum())
        has_features = "node_feat" in self.data and len(self.data.shape("node_feat")) == 2
        self.num_features = self.data.shape("node_feat")[1] if has_features else 0
        shape = self.label.shape("node_label")
        self.num_label_columns = shape[1] if len(shape) == 2 else 1

    def _rows(self, npz: NpzFile, key: str, chunk: int) -> Rows:
        first = 0
        for rows in npz.rows(key, chunk):
            yield Origin(f"{npz.path}: {key}", first), rows
            first += len(rows)

    def features(self) -> Rows:
        """As `Raw.features`."""
        step = max(FEATURE_CHUNK_BYTES // (4 * max(self.num_features, 1)), 1)
        return self._rows(self.data, "node_feat", step)

    def labels(self) -> Rows:
        """As `Raw.labels`."""
        return self._rows(self.label, "node_label", ROW_CHUNK)

    def edges(self) -> Iterator[EdgeChunk]:
        """As `Raw.edges`."""
        first = 0
        for source, target in self.data.pairs("edge_index", EDGE_CHUNK):
            ends = source.astype(np.int64), target.astype(np.int64)
            for ids in ends:
                check_ids(ids, self.num_vertices, Origin(f"{self.data.path}: edge_index", first))
            yield *ends, None
            first += len(source)
