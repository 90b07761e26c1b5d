"""Graphs that a program holds as arrays, written as graph stores.

They go through the checks of `batchgnn data convert npz`, whose arrays they become.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.arrays import ArraysInMemory
from batchgnn.data.convert import Arcs, ConvertOptions, Report
from batchgnn.data.convert_npz import convert_arrays
from batchgnn.data.headers import part_of
from batchgnn.store.seeds import SPLITS

Split = Mapping[str, Any] | Sequence[str] | np.ndarray
"""By part (train, val, test): a mask (N,) or (N, R), or row numbers; or the part of each vertex, as
text (N,), where any other word is none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """A graph in memory; arrays are numpy's, or what numpy can read, such as tensors.

    edges        integers (2, E): sources above targets, as rows of vertices
    arcs         how edges are listed: `directed`; undirected, each `once`; or in `both` directions
    features     numbers (N, D), or a sparse matrix of scipy
    labels       (N,) integers, -1 = none; text, None = none; numbers with NaN = none; or 0 and 1
                 (N, C)
    split        None: a random one, 60/20/20
    ids          (N,) distinct integers or text; None: the numbers of the rows
    weights      float (E,)
    class_names  (C,) text; of labels that are text it follows

    >>> graph = Graph(edges=[[0, 1], [1, 2]], arcs="once", features=[[1], [2], [3]])
    >>> graph.split is None
    True
    """

    edges: Any
    arcs: Arcs
    features: Any = None
    labels: Any = None
    split: Split | None = None
    ids: Any = None
    weights: Any = None
    class_names: Sequence[str] | None = None
    num_vertices: int | None = None
    name: str = "graph"

    def write(self, path: str | os.PathLike, **options: Any) -> Report:
        """Write a graph store; returns what was taken as what.

        options: of `batchgnn data convert npz`, such as `task`, `split`, `seed`, `self_loops`

        Raises DataError for arrays that do not fit, StoreError where `path` exists.

        >>> import numpy as np
        >>> ring = np.array([[0, 1, 2], [1, 2, 0]])
        >>> graph = Graph(edges=ring, arcs="once", features=np.eye(3), labels=[0, 1, 1])
        >>> graph.write("triangle.h5").lines[0]
        '3 vertices, 3 undirected edges, 3 features, 2 classes'
        """
        chosen = ConvertOptions(arcs=self.arcs, **{"name": self.name, **options})
        return convert_arrays(ArraysInMemory(self.name, self._arrays()), path, chosen)

    def _arrays(self) -> dict[str, np.ndarray]:
        """By the names that `batchgnn data convert npz` knows."""
        edges = plain(self.edges)
        found = {"edge_index": edges, **self._features(), **self._labels()}
        if self.class_names is not None:
            found["class_names"] = np.array(self.class_names, str)
        if self.ids is not None:
            found["ids"] = plain(self.ids)
        if self.weights is not None:
            found["edge_weight"] = plain(self.weights)
        if not found.keys() & {"x", "x_shape", "y"}:
            found["x"] = np.empty((self._num_vertices(edges), 0), np.float32)
        return found | self._split()

    def _num_vertices(self, edges: np.ndarray) -> int:
        """As said, or as many as have ids, or as edges name."""
        if self.num_vertices is not None:
            return self.num_vertices
        return len(self.ids) if self.ids is not None else int(edges.max(initial=-1)) + 1

    def _labels(self) -> dict[str, np.ndarray]:
        """Those that are text become numbers, and names of classes."""
        if self.labels is None:
            return {}
        labels = plain(self.labels)
        if labels.dtype.kind not in "OUS":
            return {"y": labels}
        known = np.array([isinstance(label, str | bytes) for label in labels], bool)
        names, of = np.unique(labels[known].astype(str), return_inverse=True)
        numbers = np.full(len(labels), -1, np.int64)
        numbers[known] = of
        return {"y": numbers, "class_names": names}

    def _features(self) -> dict[str, np.ndarray]:
        if self.features is None:
            return {}
        if not hasattr(self.features, "tocsr"):
            return {"x": plain(self.features)}
        rows = self.features.tocsr()
        return {
            "x_indptr": rows.indptr,
            "x_indices": rows.indices,
            "x_data": rows.data,
            "x_shape": np.array(rows.shape),
        }

    def _split(self) -> dict[str, np.ndarray]:
        """A mask or row numbers for each part; none: a random split."""
        if self.split is None:
            return {}
        if isinstance(self.split, Mapping):
            parts = {part_of(str(name)): plain(rows) for name, rows in self.split.items()}
            if set(parts) != set(SPLITS):
                raise DataError(
                    f"split has {', '.join(map(str, self.split))}: needed train, val and test"
                )
        else:
            words = plain(self.split).astype(str)
            of = np.array([part_of(word) or "" for word in words])
            parts = {part: of == part for part in SPLITS}
        return {
            f"{part}_{'mask' if rows.dtype.kind == 'b' else 'idx'}": rows
            for part, rows in parts.items()
        }


def write_graph(
    path: str | os.PathLike,
    edges: Any,
    features: Any = None,
    labels: Any = None,
    split: Split | None = None,
    *,
    arcs: Arcs,
    **more: Any,
) -> Report:
    """Write arrays as a graph store.

    edges, features, labels, split, arcs: as of `Graph`; more: its other fields, and options of
    `Graph.write`

    >>> import numpy as np
    >>> edges = [[0, 1], [1, 2]]
    >>> said = write_graph("path.h5", edges, np.eye(3), ["a", "b", "a"], arcs="once")
    >>> said.lines[0]
    '3 vertices, 2 undirected edges, 3 features, 2 classes'
    """
    fields = {key: more.pop(key) for key in list(more) if key in Graph.__dataclass_fields__}
    graph = Graph(edges=edges, arcs=arcs, features=features, labels=labels, split=split, **fields)
    return graph.write(path, **more)


def plain(values: Any) -> np.ndarray:
    """As an array of numpy: of a tensor, a column of a data frame, or a sequence."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values)
    if array.dtype == object and all(isinstance(value, str) for value in array.ravel()):
        return array.astype(str)
    return array
