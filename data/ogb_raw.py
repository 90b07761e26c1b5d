"""The folder raw/ of an OGB dataset, in either of its forms, read in chunks."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import EDGE_CHUNK, FEATURE_CHUNK_BYTES, EdgeChunk
from batchgnn.data.csv_table import CsvTable
from batchgnn.data.ids import require_integers
from batchgnn.data.npz_file import NpzFile

ROW_CHUNK = 1 << 16
DEFLATE_RATIO = 1032
"Bytes that one byte of a .gz file may stand for, at most."


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
        most = self.label.size * DEFLATE_RATIO
        if not 0 <= self.num_vertices <= most:
            raise DataError(
                f"{folder}/num-node-list.csv.gz says {self.num_vertices:,} vertices, but "
                f"{self.label.path} is too short for that. Download the dataset again"
            )
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
        if has_features:
            where, rows = f"{self.data.path}: node_feat", self.data.length("node_feat")
            check_rows(where, rows, self.num_vertices)
            if self.data.dtype("node_feat").kind not in "fiub":
                raise DataError(f"{where} is {self.data.dtype('node_feat')}, needed numbers")
        shape = self.label.shape("node_label")
        check_rows(
            f"{self.label.path}: node_label", self.label.length("node_label"), self.num_vertices
        )
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
