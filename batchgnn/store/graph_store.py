"""Graph stores, read: one HDF5 file with the whole graph as it was converted.

Every dataset is read through a memory map, in slices of rows or chunks of edges, so that memory
stays bounded whatever the size of the graph. data/FORMAT.md is the table of the format;
`graph_writer` writes it.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import StoreError
from batchgnn.store.events import ATTRIBUTE, SOURCE, TARGET, EventSpec, good_rows, spec_of
from batchgnn.store.format import FORMAT_GRAPH, map_dataset, open_store, parsing, text, whole
from batchgnn.store.labels import EVENTS, REGRESSION, TASKS, in_range, label_layout
from batchgnn.store.links import LinkSpec
from batchgnn.store.taken import from_json

EDGE_CHUNK = 1 << 22
"Edges that `iter_edges` reads at a time: 32 MiB with uint32 ids."

ALL = slice(None)
MOST_SPLIT = 3
REMEDY = "Convert or generate the graph again"


def id_dtype_of(num_vertices: int) -> np.dtype:
    """Dtype of vertex ids in edges: uint32 while there are fewer than 2^32 vertices."""
    return np.dtype(np.uint32 if num_vertices < 2**32 else np.uint64)


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Sparse features: memory maps of a CSR matrix (N, width); data None stands for all ones."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray | None
    width: int

    def dense(self, begin: int, end: int) -> np.ndarray:
        """float32 (end - begin, width)."""
        from scipy.sparse import csr_array

        part = slice(int(self.indptr[begin]), int(self.indptr[end]))
        indices = np.asarray(self.indices[part])
        data = np.ones(len(indices), np.float32) if self.data is None else self.data[part]
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.width:
            raise StoreError(
                f"vertex/features/indices, rows {begin} to {end - 1}: a column outside 0 to "
                f"{self.width - 1}. The graph store is damaged: convert it again"
            )
        indptr = np.asarray(self.indptr[begin : end + 1]) - part.start
        return csr_array((data, indices, indptr), shape=(end - begin, self.width)).toarray()


class GraphStore:
    """A graph store opened for reading.

    name, licence  str
    directed       bool; an undirected graph holds each edge once, in either direction
    num_vertices, num_edges, num_features, num_classes, num_splits  int
    task           one of `labels.TASKS`; `num_classes` of regression is 1
    weighted       bool, whether edges have weights
    splits_edges   bool, whether edges say which part they are of, for link prediction
    feature_dtype, id_dtype  of what `read_features` and `iter_edges` return
    links          None: edges are split when the graph is cut
    features       memory map (N, D), or None when the features are sparse
    sparse         `SparseRows`, or None when the features are dense
    features_checksum  of features in a file beside; empty when they are in the store
    taken          what the converter took as what (`taken.Record`); empty where it was not kept
    class_names    list of str, or None when classes have numbers only
    events         of a stream of events (`events.EventSpec`), whose edges they are; else None
    event_columns  its datasets, memory maps by name, which `read_event` reads; empty of others
    """

    links: LinkSpec | None = None

    def __init__(self, path: str | os.PathLike):
        """Map the datasets.

        Raises StoreError when `path` is no graph store, is damaged or newer, or when its datasets
        do not fit each other or its attributes.
        """
        self.path = Path(path)
        with (
            parsing(path, REMEDY),
            open_store(path, FORMAT_GRAPH, "graph store", "batchgnn data convert") as file,
        ):
            self._read_attributes(file)
            self._map_vertices(file)
            self._map_edges(file)

    def _read_attributes(self, file: h5py.File) -> None:
        try:
            attributes = file.attrs
            self.name, self.licence = text(attributes["name"]), text(attributes["licence"])
            self.directed, self.task = bool(attributes["directed"]), text(attributes["task"])
            self.num_vertices, self.num_edges, self.num_features, self.num_classes = (
                whole(attributes[f"num_{what}"])
                for what in ("vertices", "edges", "features", "classes")
            )
            self.num_splits = whole(attributes["num_splits"])
            self.features_checksum = text(attributes.get("features_checksum", ""))
            self.taken = from_json(text(attributes.get("taken", "{}")))
            self.events = spec_of(text(attributes.get(ATTRIBUTE, "")))
        except KeyError as error:
            raise StoreError(f"{self.path}: {error.args[0]}. {REMEDY}") from error
        except ValueError as error:
            raise StoreError(f"{self.path}: attribute events: {error}. {REMEDY}") from error
        for name in ("num_vertices", "num_edges", "num_features", "num_classes", "num_splits"):
            if (count := getattr(self, name)) < (name == "num_splits"):
                raise StoreError(f"{self.path}: {name} is {count:,}. {REMEDY}")
        tasks = (*TASKS, EVENTS)
        if self.task not in tasks or (self.task == EVENTS) != (self.events is not None):
            raise StoreError(
                f"{self.path}: task is {self.task!r}, needed one of {', '.join(tasks)}, the last "
                f"with the attribute events. {REMEDY}"
            )
        if self.task == REGRESSION and self.num_classes != 1:
            raise StoreError(
                f"{self.path}: num_classes is {self.num_classes}, needed 1 for regression. {REMEDY}"
            )

    def _map_vertices(self, file: h5py.File) -> None:
        n, d = self.num_vertices, self.num_features
        self.sparse: SparseRows | None = None
        self.features: np.ndarray | None = None
        self.feature_dtype = np.dtype(np.float32)
        if isinstance(file.get("vertex/features"), h5py.Group):
            self.sparse = self._map_sparse_features(file)
        else:
            self.features = self._map(file, "vertex/features", (n, d), np.float32, np.float16)
            self.feature_dtype = self.features.dtype
        dtype, shape = label_layout(self.task, n, self.num_classes)
        self._label = self._map(file, "vertex/label", shape, dtype)
        one_split = self.num_splits == 1 and map_dataset(file, "vertex/split").ndim == 1
        shape = (n,) if one_split else (n, self.num_splits)
        self._split = self._map(file, "vertex/split", shape, np.uint8)
        self._name = map_dataset(file, "vertex/name") if "vertex/name" in file else None
        if self._name is not None and (
            self._name.shape != (n,)
            or (self._name.dtype != np.int64 and self._name.dtype.kind != "S")
        ):
            raise self._misfit("vertex/name", self._name, (n,), "int64 or S*")
        self.class_names: Sequence[str] | None = (
            [name.decode() for name in file["class/name"][...]] if "class/name" in file else None
        )

    def _map_sparse_features(self, file: h5py.File) -> SparseRows:
        group = file["vertex/features"]
        stated = tuple(int(k) for k in group.attrs.get("shape", ()))
        if stated != (self.num_vertices, self.num_features):
            raise StoreError(
                f"{self.path}: attribute shape of vertex/features is {stated}, needed "
                f"{(self.num_vertices, self.num_features)}. {REMEDY}"
            )
        indptr = self._map(file, "vertex/features/indptr", (self.num_vertices + 1,), np.int64)
        stored = (int(indptr[-1]),)
        indices = self._map(file, "vertex/features/indices", stored, np.int32)
        has_data = "data" in group
        data = self._map(file, "vertex/features/data", stored, np.float32) if has_data else None
        return SparseRows(indptr, indices, data, self.num_features)

    def _map_edges(self, file: h5py.File) -> None:
        self.id_dtype, shape = id_dtype_of(self.num_vertices), (self.num_edges,)
        self.event_columns: dict[str, np.ndarray] = {}
        self.weighted, self._weight = False, None
        self.splits_edges, self._edge_split = False, None
        if self.events is not None:
            self._map_events(file, self.events)
            return
        self._source = self._map(file, "edge/source", shape, self.id_dtype)
        self._target = self._map(file, "edge/target", shape, self.id_dtype)
        self.weighted = "edge/weight" in file
        self._weight = self._map(file, "edge/weight", shape, np.float32) if self.weighted else None
        self.splits_edges = "edge/split" in file
        if self.splits_edges:
            self._edge_split = self._map(file, "edge/split", shape, np.uint8)

    def _map_events(self, file: h5py.File, events: EventSpec) -> None:
        for name, (dtype, shape) in events.layout(self.num_edges, self.id_dtype).items():
            self.event_columns[name] = self._map(file, name, shape, dtype)
        self._source, self._target = self.event_columns[SOURCE], self.event_columns[TARGET]

    def _map(
        self, file: h5py.File, name: str, shape: tuple[int, ...], *dtypes: DTypeLike
    ) -> np.ndarray:
        array = map_dataset(file, name)
        if array.shape != shape or array.dtype not in dtypes:
            raise self._misfit(name, array, shape, " or ".join(np.dtype(t).name for t in dtypes))
        return array

    def _misfit(self, name: str, array: np.ndarray, shape: tuple, dtypes: str) -> StoreError:
        return StoreError(
            f"{self.path}: dataset {name} is {array.dtype} {array.shape}, needed {dtypes} {shape}. "
            f"{REMEDY}"
        )

    @property
    def has_name(self) -> bool:
        """Whether the vertices carry the user's own ids."""
        return self._name is not None

    def read_features(self, rows: slice = ALL) -> np.ndarray:
        """`feature_dtype` (k, D), dense and C-contiguous: the features of consecutive rows.

        A copy. Entries of sparse features that stand twice in a row are added. As all that is
        read, it is checked: raises StoreError for a value that cannot be.
        """
        begin, end = self._bounds(rows)
        if self.sparse is not None:
            found = self.sparse.dense(begin, end)
        else:
            found = np.array(self.features[begin:end])  # type: ignore[index]
        self._require("vertex/features", begin, np.isfinite(found))
        return found

    def read_labels(self, rows: slice = ALL) -> np.ndarray:
        """As `labels.label_layout`: int32 (k,), uint8 (k, C) or float32 (k,). A copy."""
        begin, end = self._bounds(rows)
        found = np.array(self._label[begin:end])
        self._require("vertex/label", begin, in_range(self.task, found, self.num_classes))
        return found

    def read_split(self, rows: slice = ALL) -> np.ndarray:
        """uint8 (k, R): 0 none, 1 train, 2 validation, 3 test, for each of R splits. A copy."""
        begin, end = self._bounds(rows)
        found = np.array(self._split[begin:end]).reshape(end - begin, self.num_splits)
        self._require("vertex/split", begin, found <= MOST_SPLIT)
        return found

    def read_names(self, rows: slice = ALL) -> np.ndarray | None:
        """int64 or S* (k,): the user's own ids; None when the row number is the id. A copy."""
        return None if self._name is None else np.array(self._name[slice(*self._bounds(rows))])

    def iter_edges(
        self, chunk: int = EDGE_CHUNK
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """(source, target, weight or None) of at most `chunk` edges at a time, as stored. Copies.

        source, target  `id_dtype` (k,);  weight  float32 (k,)
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}, needed at least 1")
        for begin in range(0, self.num_edges, chunk):
            part = slice(begin, min(begin + chunk, self.num_edges))
            weight = None if self._weight is None else np.array(self._weight[part])
            source, target = np.array(self._source[part]), np.array(self._target[part])
            kind = "edge" if self.events is None else "event"
            self._require(f"{kind}/source", begin, source < self.num_vertices)
            self._require(f"{kind}/target", begin, target < self.num_vertices)
            if weight is not None:
                self._require("edge/weight", begin, np.isfinite(weight))
            yield source, target, weight

    def read_edge_split(self, rows: slice = ALL) -> np.ndarray:
        """uint8 (k,): 1 train, 2 validation, 3 test, of edges as `iter_edges` has them. A copy."""
        begin, end = self._bounds(rows, self.num_edges)
        if self._edge_split is None:
            raise ValueError(f"{self.path} has no edge/split")
        found = np.array(self._edge_split[begin:end])
        self._require("edge/split", begin, (found > 0) & (found <= MOST_SPLIT))
        return found

    def read_event(self, name: str, rows: slice = ALL) -> np.ndarray:
        """Rows of a dataset of `event_columns`, as `EventSpec.layout` has it. A copy."""
        begin, end = self._bounds(rows, self.num_edges)
        column = self.event_columns[name]
        found = np.array(column[begin:end])
        ahead = column[max(begin - 1, 0) : begin]
        most = self.num_vertices, self.num_classes
        self._require(name, begin, good_rows(name, found, ahead, *most))
        return found

    def _require(self, name: str, first: int, good: np.ndarray) -> None:
        """Raise StoreError for the first row of a chunk, beginning at `first`, that is not good."""
        if not good.all():
            row = first + int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
            raise StoreError(
                f"{self.path}: {name} has a value out of range in row {row:,}. {REMEDY}"
            )

    def _bounds(self, rows: slice, count: int | None = None) -> tuple[int, int]:
        begin, end, step = rows.indices(self.num_vertices if count is None else count)
        if step != 1:
            raise ValueError(f"rows {rows}: only consecutive rows can be read")
        return begin, max(begin, end)
