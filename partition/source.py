"""What the partitioner reads: a graph store, or arrays in memory that look like one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from batchgnn.store.events import EventSpec
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION
from batchgnn.store.links import LinkSpec

Edges = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class GraphSource(Protocol):
    """The reading side of `store.graph_store.GraphStore`, as far as the partitioner needs it."""

    name: str
    directed: bool
    num_vertices: int
    num_edges: int
    num_features: int
    num_classes: int
    task: str
    num_splits: int
    weighted: bool
    feature_dtype: np.dtype
    id_dtype: np.dtype
    events: EventSpec | None
    class_names: Sequence[str] | None
    links: LinkSpec | None
    splits_edges: bool

    @property
    def event_columns(self) -> Mapping[str, np.ndarray]:
        """Datasets `event/*` by name, where edges are events."""

    def read_event(self, name: str, rows: slice) -> np.ndarray:
        """Rows of one of them."""

    def read_features(self, rows: slice) -> np.ndarray:
        """(len(rows), D), dense."""

    def read_labels(self, rows: slice = ...) -> np.ndarray:
        """int32 (len(rows),), uint8 (len(rows), C) multi-label, or float32 (len(rows),)."""

    def read_split(self, rows: slice = ...) -> np.ndarray:
        """uint8 (len(rows), R)."""

    def read_names(self, rows: slice = ...) -> np.ndarray | None:
        """The user's own ids, int64 or S*; None when there are none."""

    def iter_edges(self, chunk: int = ...) -> Iterator[Edges]:
        """(source, target, weight or None) of at most `chunk` edges, as they are stored."""

    def read_edge_split(self, rows: slice = ...) -> np.ndarray:
        """uint8 (len(rows),): 1 train, 2 validation, 3 test; of edges where `splits_edges`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphArrays:
    """A small graph in memory, with the interface of a graph store.

    source, target  integers (E,); an undirected graph holds each edge once
    features        float32/float16 (N, D)
    label           int32 (N,), uint8 (N, C) for a multi-label task, float32 (N,) for regression
    split           uint8 (N,) or (N, R)
    edge_split      uint8 (E,), 1 train, 2 validation, 3 test, or None
    weight          float32 (E,) or None
    names           int64 or S* (N,) or None
    """

    source: np.ndarray
    target: np.ndarray
    features: np.ndarray
    label: np.ndarray
    split: np.ndarray
    num_classes: int
    weight: np.ndarray | None = None
    edge_split: np.ndarray | None = None
    names: np.ndarray | None = None
    directed: bool = False
    name: str = "arrays"
    class_names: Sequence[str] | None = None
    events: EventSpec | None = None
    links: LinkSpec | None = None
    event_columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def num_vertices(self) -> int:
        """Vertices, N."""
        return len(self.features)

    @property
    def num_edges(self) -> int:
        """Edges as stored: an undirected one counts once."""
        return len(self.source)

    @property
    def num_features(self) -> int:
        """Columns of the features, D."""
        return self.features.shape[1]

    @property
    def num_splits(self) -> int:
        """Official splits, R."""
        return 1 if self.split.ndim == 1 else self.split.shape[1]

    @property
    def task(self) -> str:
        """What the dtype of the labels says."""
        if self.label.ndim == 2:
            return MULTILABEL
        return REGRESSION if self.label.dtype.kind == "f" else MULTICLASS

    @property
    def weighted(self) -> bool:
        """Whether edges carry weights."""
        return self.weight is not None

    @property
    def splits_edges(self) -> bool:
        """Whether edges say which part they are of."""
        return self.edge_split is not None

    def read_edge_split(self, rows: slice = slice(None)) -> np.ndarray:
        """Rows of the parts of edges; none where they have none."""
        return np.empty(0, np.uint8) if self.edge_split is None else self.edge_split[rows]

    @property
    def feature_dtype(self) -> np.dtype:
        """Dtype of the features."""
        return self.features.dtype

    @property
    def id_dtype(self) -> np.dtype:
        """Dtype of vertex ids in edges."""
        return np.dtype(np.uint32 if self.num_vertices < 2**32 else np.uint64)

    def read_features(self, rows: slice) -> np.ndarray:
        """Rows of the features."""
        return self.features[rows]

    def read_labels(self, rows: slice = slice(None)) -> np.ndarray:
        """Rows of the labels."""
        return self.label[rows]

    def read_split(self, rows: slice = slice(None)) -> np.ndarray:
        """Rows of the splits, (n, R)."""
        return self.split.reshape(self.num_vertices, -1)[rows]

    def read_event(self, name: str, rows: slice) -> np.ndarray:
        """Rows of a dataset of events."""
        return self.event_columns[name][rows]

    def read_names(self, rows: slice = slice(None)) -> np.ndarray | None:
        """Rows of the user's own ids."""
        return None if self.names is None else self.names[rows]

    def iter_edges(self, chunk: int = 1 << 22) -> Iterator[Edges]:
        """Chunks of the edges."""
        for begin in range(0, self.num_edges, chunk):
            part = slice(begin, begin + chunk)
            yield (
                self.source[part],
                self.target[part],
                None if self.weight is None else self.weight[part],
            )
