"""`batchgnn data convert ogb`: an OGB node-property folder, as downloaded -> a graph store.

    raw/edge.csv.gz  node-feat.csv.gz  node-label.csv.gz  num-node-list.csv.gz     or
    raw/data.npz (edge_index, node_feat, num_nodes_list)  node-label.npz (node_label)
    split/SCHEME/train.csv.gz  valid.csv.gz  test.csv.gz

What `ogb_catalogue` says of a dataset, which is known by its name, is taken from there: whether its
edges stand for both directions (`add_inverse_edge`), the split's folder, the number of classes. The
edges of other datasets are arcs unless `undirected`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from batchgnn.data.ogb_catalogue import OgbEntry, entry_of, refuse_heterogeneous
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
from batchgnn.store.labels import MULTICLASS, MULTILABEL
from batchgnn.store.taken import Record

PARTS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
ROW_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class OgbOptions(ConvertOptions):
    """Options of `convert ogb`."""

    undirected: bool | None = None
    """Mirror every edge, as OGB does for the graphs that it marks with add_inverse_edge; default:
    for ogbn-products and ogbn-proteins, by the name of the folder or --name."""

    scheme: str | None = None
    "Folder below split/, when there are several; default: the one that OGB's catalogue names."

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
    used: tuple[str, ...]
    "Files of raw/ and arrays that are read."

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
    entry = entry_of(options.name or "", source.name, source.resolve().name)
    refuse_heterogeneous(source, entry)
    arcs = arcs_of(options, entry)
    with ExitStack() as stack:
        raw = open_raw(source, stack)
        split = None
        if options.split is None:
            split = read_split(source, options.scheme, entry, raw.num_vertices)
        asked = options.task or (None if entry is None else entry.task)
        task = task_of(asked, raw.num_label_columns, f"{source}/raw")
        known = None if entry is None or task != MULTICLASS else entry.num_classes
        if known is not None and options.classes is None:
            options = replace(options, classes=known)
        spec = GraphSpec(
            name=options.name or source.resolve().name,
            licence=options.licence,
            num_vertices=raw.num_vertices,
            directed=arcs == "directed",
            num_features=raw.num_features,
            feature_dtype=options.dtype,
            task=task,
            num_classes=raw.num_label_columns if task == MULTILABEL else options.classes,
            weighted=options.double_edges == "sum",
        )
        writer = stack.enter_context(write_graph(out, spec))
        with progress(f"{spec.name}: features", spec.num_vertices, "rows", show=show) as bar:
            append_features(raw, writer, options, bar.advance)
        append_labels(raw, writer, options, split)
        with progress(f"{spec.name}: edges", raw.num_edges, "edges", show=show) as bar:
            of_edges = append_edges(writer, raw.edges, arcs, options, f"{source}/raw", bar.advance)
        note = split_note(options)
        if split is not None:
            note = f"split/{split_folder(source, options.scheme, entry).name}, kept"
        taken = taken_of(source, raw, entry) | {"split": note}
        return report(out, writer, taken | of_edges, options)


def arcs_of(options: OgbOptions, entry: OgbEntry | None) -> Arcs:
    """The convention of the edges: as asked, else as the catalogue says."""
    if options.arcs is not None:
        return options.arcs
    inverse = entry is not None and entry.add_inverse_edge
    mirrored = inverse if options.undirected is None else options.undirected
    return "once" if mirrored else "directed"


def taken_of(source: Path, raw: Raw, entry: OgbEntry | None) -> Record:
    """What the files were taken as, for the report."""
    files = sorted(path.name for path in (source / "raw").iterdir())
    known = "not in it: edges are arcs unless --undirected"
    if entry is not None:
        known = (
            f"{entry.name}: add_inverse_edge {entry.add_inverse_edge}, split {entry.split}, "
            f"scored by {entry.metric}"
        )
    return {
        "OGB's catalogue": known,
        "read": [name.strip(".") for name in raw.used],
        "not used": [name for name in files if not name.startswith(raw.used)],
    }


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


def split_folder(source: Path, scheme: str | None, entry: OgbEntry | None) -> Path:
    """The folder of the split; raises DataError where there are several or none."""
    folders = sorted(path for path in (source / "split").glob("*") if path.is_dir())
    if scheme is None and entry is not None and source / "split" / entry.split in folders:
        scheme = entry.split
    if scheme is not None:
        folders = [path for path in folders if path.name == scheme]
    if len(folders) != 1:
        found = ", ".join(path.name for path in folders) or "none"
        raise DataError(
            f"{source / 'split'}: needed one folder of splits, found {found}. Choose with "
            f"--scheme, or draw a random split with --split 0.6 0.2 0.2"
        )
    return folders[0]


def read_split(
    source: Path, scheme: str | None, entry: OgbEntry | None, num_vertices: int
) -> np.ndarray:
    """uint8 (N,): the dataset's own split. One byte a vertex is held in memory."""
    folder = split_folder(source, scheme, entry)
    split = np.full(num_vertices, NONE, np.uint8)
    for name, part in PARTS.items():
        for origin, ids in read_integers(need_csv(folder / name)):
            check_ids(ids, num_vertices, origin)
            if (split[ids] != NONE).any():
                row = int(np.argmax(split[ids] != NONE))
                raise DataError(f"{origin.at(row)}: vertex {ids[row]} is in two parts of the split")
            split[ids] = part
    return split


def check_num_edges(stated_by: str, stated: int, file: str, found: int) -> None:
    """Raise DataError unless a dataset has as many edges as it says."""
    if stated != found:
        raise DataError(
            f"{stated_by} says {stated:,} edges, {file} has {found:,}. Download the dataset again"
        )


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
        self.used: tuple[str, ...] = (
            "edge.",
            "node-feat.",
            "node-label.",
            "num-node-list.",
            "num-edge-list.",
        )
        self.num_features = 0 if self.feature is None else len(self.feature.columns)
        self.num_label_columns = len(self.label.columns)
        self.stated = None
        if find_csv(folder / "num-edge-list") is not None:
            self.stated = need_csv(folder / "num-edge-list")
        parts = [] if self.stated is None else [n.sum() for _, n in read_integers(self.stated)]
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
        """As `Raw.edges`; raises DataError at the end when there are more or fewer than stated."""
        done = 0
        for chunk in self.edge.chunks():
            origin = Origin(str(self.edge.path), chunk.first_row)
            ends = chunk.integers(0), chunk.integers(1)
            if ends[0] is None or ends[1] is None:
                raise DataError(
                    f"{origin.file}: a vertex is no integer, after row {origin.first_row}"
                )
            for ids in ends:
                check_ids(ids, self.num_vertices, origin)  # type: ignore[arg-type]
            done += len(chunk)
            yield ends[0], ends[1], None
        if self.stated is not None:
            check_num_edges(str(self.stated.path), self.num_edges, str(self.edge.path), done)


class RawNpz:
    """`raw/data.npz` and `raw/node-label.npz`."""

    def __init__(self, folder: Path, stack: ExitStack):
        """Read the headers; raises DataError when an array is missing."""
        self.data = stack.enter_context(NpzFile(folder / "data.npz"))
        self.label = stack.enter_context(NpzFile(folder / "node-label.npz"))
        self.used: tuple[str, ...] = ("data.npz", "node-label.npz")
        shape = self.data.shape("edge_index")
        if len(shape) != 2 or shape[0] != 2 or self.data.dtype("edge_index").kind not in "iu":
            raise DataError(
                f"{self.data.path}: edge_index is {self.data.dtype('edge_index')} {shape}, needed "
                f"integers (2, E)"
            )
        self.num_edges = shape[1]
        self.num_vertices = self._count("num_nodes_list", "graphs")
        if "num_edges_list" in self.data:
            stated = f"{self.data.path}: num_edges_list"
            count = self._count("num_edges_list", "graphs")
            check_num_edges(stated, count, "edge_index", self.num_edges)
        has_features = "node_feat" in self.data and len(self.data.shape("node_feat")) == 2
        self.num_features = self.data.shape("node_feat")[1] if has_features else 0
        shape = self.label.shape("node_label")
        self.num_label_columns = shape[1] if len(shape) == 2 else 1

    def _count(self, key: str, what: str) -> int:
        self.data.shape(key)
        counts = self.data.read(key).ravel()
        if len(counts) != 1 or counts.dtype.kind not in "iu":
            raise DataError(f"{self.data.path}: {key} has {len(counts)} {what}, needed one")
        return int(counts[0])

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
