"""Graphs of other libraries as `Graph`: known by what they offer, so that none is needed here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from batchgnn.api.graph import Graph, plain
from batchgnn.base.errors import DataError
from batchgnn.data.convert import Arcs

MASKS = {"train": "train_mask", "val": "val_mask", "test": "test_mask"}


def from_pyg(data: Any, **more: Any) -> Graph:
    """Of a `torch_geometric.data.Data`: edge_index, x, y, edge_weight and the three masks.

    more: other fields of `Graph`, which win over what is there

    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(  # in place of a torch_geometric.data.Data
    ...     edge_index=[[0, 1], [1, 0]], y=[0, 1], num_nodes=2, is_undirected=lambda: True
    ... )
    >>> from_pyg(data, class_names=["cat", "dog"]).write("pyg.h5").lines[0]
    '2 vertices, 1 undirected edges, 0 features, 2 classes'
    """
    directed = not data.is_undirected()
    found: dict[str, Any] = {
        "edges": data.edge_index,
        "arcs": "directed" if directed else "both",
        "features": getattr(data, "x", None),
        "labels": getattr(data, "y", None),
        "weights": getattr(data, "edge_weight", None),
        "num_vertices": data.num_nodes,
    }
    masks = {part: getattr(data, name, None) for part, name in MASKS.items()}
    if all(mask is not None for mask in masks.values()):
        found["split"] = masks
    return Graph(**(found | more))


def from_scipy(adjacency: Any, **more: Any) -> Graph:
    """Of a sparse matrix (N, N): entry (u, v) is the edge u -> v; symmetric ones are undirected.

    Values other than 1 are weights.

    >>> import scipy.sparse
    >>> graph = from_scipy(scipy.sparse.csr_array([[0, 1], [1, 0]]), labels=[0, 1])
    >>> graph.arcs, graph.edges.tolist()
    ('both', [[0, 1], [1, 0]])
    """
    if len(set(adjacency.shape)) != 1:
        raise DataError(f"the matrix has shape {adjacency.shape}, needed a square one: (N, N)")
    entries = adjacency.tocoo()
    is_symmetric = (adjacency != adjacency.T).nnz == 0
    found: dict[str, Any] = {
        "edges": np.stack([entries.row, entries.col]),
        "arcs": "both" if is_symmetric else "directed",
        "weights": None if (entries.data == 1).all() else entries.data,
        "num_vertices": adjacency.shape[0],
    }
    return Graph(**(found | more))


def from_networkx(
    graph: Any,
    *,
    features: Sequence[str] = (),
    label: str | None = None,
    split: str | None = None,
    weight: str | None = None,
    **more: Any,
) -> Graph:
    """Of a `networkx.Graph` or `DiGraph`: its nodes are the vertices, and their names the ids.

    features, label, split: names of node attributes; weight: of an edge attribute

    >>> import networkx
    >>> club = networkx.karate_club_graph()
    >>> from_networkx(club, label="club", weight="weight").write("club.h5").lines[0]
    '34 vertices, 78 undirected edges, 0 features, 2 classes'
    """
    row = {node: number for number, node in enumerate(graph)}
    listed = list(graph.edges(data=weight) if weight else graph.edges())
    ends = np.array([[row[u] for u, *_ in listed], [row[v] for _, v, *_ in listed]], np.int64)
    found: dict[str, Any] = {
        "edges": ends.reshape(2, -1),
        "arcs": "directed" if graph.is_directed() else "once",
        "ids": _names(list(row)),
        "weights": np.array([w for *_, w in listed], float) if weight else None,
    }
    if features:
        columns = [_attribute(graph, name) for name in features]
        found["features"] = np.stack(columns, axis=1).astype(float)
    if label is not None:
        found["labels"] = _attribute(graph, label)
    if split is not None:
        found["split"] = _attribute(graph, split)
    return Graph(**(found | more))


def from_pandas(
    edges: Any,
    vertices: Any = None,
    *,
    arcs: Arcs,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    id: str = "id",
    label: str | None = "label",
    split: str | None = "split",
    features: Sequence[str] | None = None,
    **more: Any,
) -> Graph:
    """Of data frames (or mappings of names to columns): a row an edge, and a row a vertex.

    arcs      how edges are listed: `directed`; undirected, each `once`; or in `both` directions
    vertices  its column `id` has what `source` and `target` name; None: ids are those of the edges
    features  names of its columns; None: all that are left
    label     taken where such a column is, and so is split

    Raises DataError for a column that is not there, and one of text that is to be a feature.

    >>> import pandas
    >>> edges = pandas.DataFrame({"source": ["a", "b"], "target": ["b", "c"]})
    >>> vertices = pandas.DataFrame({"id": list("abc"), "x": [1.0, 2, 3], "label": [0, 1, 1]})
    >>> from_pandas(edges, vertices, arcs="once").write("frames.h5").lines[0]
    '3 vertices, 2 undirected edges, 1 features, 2 classes'
    """
    ends = [_column(edges, "edges", "source", source), _column(edges, "edges", "target", target)]
    columns = {} if vertices is None else {str(name): plain(vertices[name]) for name in vertices}
    if vertices is None:
        ids = np.unique(np.concatenate(ends))
    else:
        ids = _column(columns, "vertices", "id", id)
    columns.pop(id, None)
    found: dict[str, Any] = {
        "edges": np.stack([_rows(each, ids) for each in ends]),
        "arcs": arcs,
        "ids": ids,
        "weights": None if weight is None else _column(edges, "edges", "weight", weight),
        "labels": None if label is None else columns.pop(label, None),
        "split": None if split is None else columns.pop(split, None),
    }
    taken = list(columns) if features is None else list(features)
    if taken:
        found["features"] = np.stack([_numbers(columns, name) for name in taken], axis=1)
    return Graph(**(found | more))


def _rows(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """int64 (k,): where the ids have the values; raises DataError for one that is not there."""
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
    rows = order[place]
    unknown = ids[rows] != values
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DataError(
            f"edges, row {row}: no vertex has the id {values[row]}. Add it to vertices, or leave "
            "the edge out"
        )
    return rows


def _column(table: Any, of: str, option: str, name: str) -> np.ndarray:
    """A column that an option names; raises DataError where the table has none of that name."""
    if name not in table:
        raise DataError(
            f"{of} have no column {name}; found {', '.join(map(str, table))}. Name it: {option}=..."
        )
    return plain(table[name])


def _numbers(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A column of features; raises DataError where it has anything but numbers."""
    column = _column(columns, "vertices", "features", name)
    if column.dtype.kind not in "iufb":
        raise DataError(
            f"vertices: column {name} is {column.dtype}, needed numbers. Say which columns are "
            f'features: features=[...], or what it is: label="{name}"'
        )
    return column


def _names(nodes: Sequence[Any]) -> np.ndarray | None:
    """Ids of nodes: integers as such, anything else as text; None where they are row numbers."""
    if nodes == list(range(len(nodes))):
        return None
    if all(isinstance(node, int) for node in nodes):
        return np.array(nodes, np.int64)
    return np.array([str(node) for node in nodes])


def _attribute(graph: Any, name: str) -> np.ndarray:
    """(N,) of all nodes; raises DataError for a node without it."""
    values = [data.get(name) for _, data in graph.nodes(data=True)]
    if any(value is None for value in values):
        node = list(graph)[values.index(None)]
        raise DataError(f"node {node!r} has no attribute {name}: give all of them one")
    return plain(values)
