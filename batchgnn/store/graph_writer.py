"""Graph stores, written: rows and edges are appended in chunks, so that memory stays bounded.

What has a known size (dense features, labels) goes straight to its place in the file. What grows
(edges, sparse features) waits in an unnamed temporary file beside it and is copied at the end,
when its size is known. data/FORMAT.md is the table of the format; `graph_store` reads it.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import DataError
from batchgnn.store.format import (
    FORMAT_GRAPH,
    atomic_file,
    checksum,
    create_aligned,
    create_store,
    map_dataset,
)
from batchgnn.store.graph_store import id_dtype_of
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION, in_range, label_layout
from batchgnn.store.seal import seal
from batchgnn.store.taken import Record, Tally, to_json

COPY_CHUNK_BYTES = 8 << 20
NONE, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
"Values of `vertex/split`."


@dataclass(frozen=True)
class RawFeatures:
    """Dense features that lie on disk, C-ordered in native byte order: linked, not copied."""

    path: Path
    offset_bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """What must be known of a graph before its first row is written.

    features      `dense`, `sparse` (CSR with values) or `binary` (CSR, all values 1)
    num_classes   None: one more than the largest label; of regression 1, whatever is said here
    num_splits    0: one split, stored as (N,)
    name_dtype    int64 or S*; None: the row number is the id
    class_names   one per class; None: classes have numbers only
    splits_edges  edges say which part they are of
    """

    name: str
    num_vertices: int
    directed: bool
    licence: str = ""
    num_features: int = 0
    feature_dtype: type = np.float32
    features: str = "dense"
    raw_features: RawFeatures | None = None
    task: str = MULTICLASS
    num_classes: int | None = None
    num_splits: int = 0
    weighted: bool = False
    name_dtype: np.dtype | None = None
    class_names: Sequence[str] | None = None
    splits_edges: bool = False


class FixedColumn:
    """A dataset of known shape, filled from its beginning."""

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: DTypeLike):
        """Reserve the place of `name`."""
        self.name, self.dtype, self.num_rows = name, np.dtype(dtype), shape[0]
        self.dataset, self.done = create_aligned(file, name, shape, dtype), 0

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows."""
        if self.done + len(rows) > self.num_rows:
            raise DataError(f"more than {self.num_rows:,} rows of {self.name}")
        if rows.size:
            rows = np.reshape(rows, (len(rows), *self.dataset.shape[1:]))
            self.dataset[self.done : self.done + len(rows)] = rows
        self.done += len(rows)


class GrowingColumn:
    """A vector of unknown length in an unnamed file, which becomes a dataset at the end."""

    def __init__(self, folder: Path, name: str, dtype: DTypeLike):
        """Open the unnamed file, in `folder`."""
        self.name, self.dtype, self.done = name, np.dtype(dtype), 0
        self.spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def append(self, values: np.ndarray) -> None:
        """Write the next values."""
        self.spool.write(np.ascontiguousarray(values, self.dtype).data)
        self.done += len(values)

    def read(self, chunk: int) -> Iterator[np.ndarray]:
        """What was appended, `chunk` values at a time; nothing may be appended meanwhile."""
        for begin in range(0, self.done, chunk):
            self.spool.seek(begin * self.dtype.itemsize)
            part = self.spool.read(min(chunk, self.done - begin) * self.dtype.itemsize)
            yield np.frombuffer(part, self.dtype)
        self.spool.seek(0, os.SEEK_END)

    def place(self, file: h5py.File) -> None:
        """Copy what was appended into a dataset of `file`."""
        dataset = create_aligned(file, self.name, (self.done,), self.dtype)
        self.spool.seek(0)
        step = COPY_CHUNK_BYTES // self.dtype.itemsize
        for begin in range(0, self.done, step):
            part = self.spool.read(min(step, self.done - begin) * self.dtype.itemsize)
            dataset[begin : begin + step] = np.frombuffer(part, self.dtype)
        self.spool.close()


class GraphStoreWriter:
    """Appends the rows of every column and the edges, in any interleaving; made by `write_graph`.

    The checks here guard the format; a converter checks before, and names file and row.
    """

    def __init__(self, file: h5py.File, folder: Path, spec: GraphSpec, stack: ExitStack):
        """Lay out `file`; temporary files lie in `folder` until `stack` closes them."""
        self.file, self.spec, self.num_edges, self.max_label = file, spec, 0, -1
        self.tally = Tally(spec.num_vertices, spec.task)
        self.taken: Record = {}
        self.folder, self.stack = folder, stack
        n = spec.num_vertices
        rows: dict[str, tuple] = {}
        if spec.task == MULTILABEL and spec.num_classes is None:
            raise ValueError("a multi-label graph needs num_classes")
        rows["label"] = label_layout(spec.task, n, spec.num_classes or 0)[::-1]
        rows["split"] = ((n, spec.num_splits) if spec.num_splits else (n,), np.uint8)
        if spec.name_dtype is not None:
            rows["name"] = ((n,), spec.name_dtype)
        if spec.features == "dense" and spec.raw_features is None:
            rows["features"] = ((n, spec.num_features), spec.feature_dtype)
        self.columns = {k: FixedColumn(file, f"vertex/{k}", *what) for k, what in rows.items()}
        ids = id_dtype_of(n)
        grown = {"edge/source": ids, "edge/target": ids}
        if spec.weighted:
            grown["edge/weight"] = np.dtype(np.float32)
        if spec.splits_edges:
            grown["edge/split"] = np.dtype(np.uint8)
        if spec.features != "dense":
            self._start_sparse(grown)
        self.growing = {name: GrowingColumn(folder, name, dtype) for name, dtype in grown.items()}
        for growing in self.growing.values():
            stack.callback(growing.spool.close)
        if spec.raw_features is not None:
            self._link(spec.raw_features)

    def _start_sparse(self, grown: dict) -> None:
        spec = self.spec
        self.stored = 0
        shape = (spec.num_vertices + 1,)
        self.columns["indptr"] = FixedColumn(self.file, "vertex/features/indptr", shape, np.int64)
        self.columns["indptr"].append(np.zeros(1, np.int64))
        self.file["vertex/features"].attrs["shape"] = (spec.num_vertices, spec.num_features)
        grown["vertex/features/indices"] = np.dtype(np.int32)
        if spec.features == "sparse":
            grown["vertex/features/data"] = np.dtype(np.float32)

    def _link(self, raw: RawFeatures) -> None:
        shape = (self.spec.num_vertices, self.spec.num_features)
        num_bytes = shape[0] * shape[1] * np.dtype(self.spec.feature_dtype).itemsize
        self.file.create_dataset(
            "vertex/features",
            shape,
            self.spec.feature_dtype,
            external=[(str(raw.path.resolve()), raw.offset_bytes, num_bytes)],
        )

    def append_features(self, rows: np.ndarray) -> None:
        """The next rows of dense features, (k, D), finite."""
        rows = np.asarray(rows, self.spec.feature_dtype)
        if not np.isfinite(rows).all():
            raise DataError(
                f"vertex/features: NaN or infinity after row {self._done('features'):,}"
            )
        self.columns["features"].append(rows)

    def append_sparse_features(
        self, counts: np.ndarray, indices: np.ndarray, data: np.ndarray | None = None
    ) -> None:
        """The next rows of sparse features.

        counts   integers (k,)  entries of each row
        indices  integers (sum of counts,)  their columns
        data     float32 (sum of counts,)   their values, finite; None when all are 1
        """
        _check_range("vertex/features/indices", indices, 0, self.spec.num_features - 1)
        if int(counts.sum()) != len(indices) or (data is not None and len(data) != len(indices)):
            raise DataError("vertex/features: counts, indices and data differ in length")
        ends = self.stored + np.cumsum(counts, dtype=np.int64)
        self.columns["indptr"].append(ends)
        self.stored += len(indices)
        self.growing["vertex/features/indices"].append(indices)
        if self.spec.features == "sparse":
            if data is None or not np.isfinite(data).all():
                raise DataError("vertex/features/data: NaN, infinity or nothing")
            self.growing["vertex/features/data"].append(data)

    def append_labels(self, labels: np.ndarray) -> None:
        """The next labels, as `labels.label_layout` describes those of the task.

        Integers of any dtype are taken.
        """
        task, num_classes = self.spec.task, self.spec.num_classes
        if task == REGRESSION:
            with np.errstate(over="ignore"):
                labels = np.asarray(labels, np.float32)
        good = in_range(task, labels, 2**31 if num_classes is None else num_classes)
        if not good.all():
            raise DataError(
                f"vertex/label: {labels[~good][0]} after row {self._done('label'):,} is no label "
                f"of a {task} task"
            )
        if task == MULTICLASS and labels.size:
            self.max_label = max(self.max_label, int(labels.max()))
        self.tally.add_labels(labels)
        self.columns["label"].append(labels)

    @property
    def num_classes(self) -> int:
        """Classes: as said before, or of the labels so far."""
        if self.spec.task == REGRESSION:
            return 1
        return self.max_label + 1 if self.spec.num_classes is None else self.spec.num_classes

    def append_split(self, split: np.ndarray) -> None:
        """The next rows of the split: 0 none, 1 train, 2 validation, 3 test; (k,) or (k, R)."""
        _check_range("vertex/split", split, NONE, TEST)
        self.tally.add_split(split)
        self.columns["split"].append(split)

    def append_names(self, names: np.ndarray) -> None:
        """The next user's ids, int64 or S* (k,)."""
        self.columns["name"].append(names)

    def append_edges(
        self,
        source: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None = None,
        split: np.ndarray | None = None,
    ) -> None:
        """The next edges: integers (k,) below num_vertices twice; float32 (k,) when weighted.

        split: (k,) of 1 train, 2 validation, 3 test, where edges are split
        """
        if len(source) != len(target):
            raise DataError("edge/source and edge/target differ in length")
        for name, ids in (("edge/source", source), ("edge/target", target)):
            _check_range(name, ids, 0, self.spec.num_vertices - 1)
            self.growing[name].append(ids)
        if self.spec.weighted:
            if weight is None or len(weight) != len(source) or not np.isfinite(weight).all():
                raise DataError("edge/weight: NaN, infinity, or not one weight per edge")
            self.growing["edge/weight"].append(weight)
        if self.spec.splits_edges:
            if split is None or len(split) != len(source):
                raise DataError("edge/split: not one part per edge")
            _check_range("edge/split", split, TRAIN, TEST)
            self.growing["edge/split"].append(split)
        self.tally.add_edges(source, target, weight)
        self.num_edges += len(source)

    def split_rows(self, first: int, count: int) -> np.ndarray:
        """uint8 (count,): rows of the first split that were appended."""
        rows = self.columns["split"].dataset[first : first + count]
        return rows.reshape(count, -1)[:, 0]

    def edges_so_far(self, chunk: int) -> Iterator[tuple[np.ndarray, ...]]:
        """(source, target) or (source, target, weight) of what was appended, read back."""
        columns = [self.growing[f"edge/{name}"] for name in self._edge_columns()]
        yield from zip(*(column.read(chunk) for column in columns), strict=True)

    def forget_edges(self) -> None:
        """Begin the edges anew."""
        for name in self._edge_columns():
            old = self.growing[f"edge/{name}"]
            self.growing[old.name] = GrowingColumn(self.folder, old.name, old.dtype)
            self.stack.callback(self.growing[old.name].spool.close)
            self.stack.callback(old.spool.close)
        self.num_edges = 0
        self.tally.num_weights_not_positive = 0

    def _edge_columns(self) -> list[str]:
        return ["source", "target", *(["weight"] if self.spec.weighted else [])]

    def _done(self, column: str) -> int:
        return self.columns[column].done

    def finish(self) -> None:
        """Check that every column is full, place what grew, and write the attributes."""
        for column in self.columns.values():
            if column.done != column.num_rows:
                raise DataError(
                    f"{column.name}: {column.done:,} rows found, needed {column.num_rows:,}"
                )
        for growing in self.growing.values():
            growing.place(self.file)
        spec = self.spec
        if spec.raw_features is not None:
            self.file.attrs["features_checksum"] = checksum(
                map_dataset(self.file, "vertex/features")
            )
        if spec.class_names is not None:
            self.file["class/name"] = np.array([name.encode() for name in spec.class_names], "S")
        self.file.attrs.update(
            name=spec.name,
            licence=spec.licence,
            directed=spec.directed,
            num_vertices=spec.num_vertices,
            num_edges=self.num_edges,
            num_features=spec.num_features,
            num_classes=self.num_classes,
            task=spec.task,
            num_splits=max(spec.num_splits, 1),
        )
        if self.taken:
            self.file.attrs["taken"] = to_json(self.taken)


@contextmanager
def write_graph(path: str | os.PathLike, spec: GraphSpec) -> Iterator[GraphStoreWriter]:
    """Write the graph store `path`: it appears, whole, when the block ends well.

    Raises StoreError when `path` exists or the disk is full; nothing is left behind then.
    """
    path = Path(path)
    with atomic_file(path) as beside:
        with ExitStack() as stack, create_store(beside, FORMAT_GRAPH) as file:
            writer = GraphStoreWriter(file, beside.parent, spec, stack)
            yield writer
            writer.finish()
        seal(beside)


def _check_range(name: str, values: np.ndarray, low: int, high: int) -> None:
    if values.size and (int(values.min()) < low or int(values.max()) > high):
        raise DataError(
            f"{name}: values from {values.min()} to {values.max()}, needed {low} to {high}"
        )
