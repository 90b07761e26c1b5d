"""Small inputs of the converters: a path graph as an archive, and tables of four vertices."""

import numpy as np
from scipy.sparse import csr_array

from batchgnn.data.convert_edges import convert_edges
from batchgnn.data.convert_npz import convert_npz
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.store.graph_store import GraphStore

X = np.array([[1, 0, 3], [0, 0, 0.5], [0, 2, 2], [0, 0, 0]], np.float32)
PATH = {  # 0 - 1 - 2   3
    "indptr": np.array([0, 1, 3, 4, 4]),
    "indices": np.array([1, 0, 2, 1], np.int32),
    "x": X,
    "y": np.array([1, 0, 2, -1]),
    "train_mask": np.array([True, False, False, False]),
    "val_mask": np.array([False, True, False, False]),
    "test_mask": np.array([False, False, True, False]),
}

EDGE_INDEX = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])

CSR = csr_array(X)
SPARSE = {
    "x": None,
    "x_indptr": CSR.indptr.astype(np.int64),
    "x_indices": CSR.indices,
    "x_shape": np.array([4, 3]),
    "x_data": CSR.data,
}


def saved(tmp_path, compressed=True, **changes):
    """The path graph as an archive, with arrays changed, or left out when None."""
    arrays = {key: value for key, value in (PATH | changes).items() if value is not None}
    (np.savez_compressed if compressed else np.savez)(tmp_path / "path.npz", **arrays)
    return tmp_path / "path.npz"


def of_archive(tmp_path, options=None, **changes):
    convert_npz(saved(tmp_path, **changes), tmp_path / "g.h5", options, show=False)
    return GraphStore(tmp_path / "g.h5")


EDGES = """source,target,weight
ann,bob,0.5
bob,zoë,2
"""
VERTICES = """id,age,label,split,height
bob,1,0,train,0.25
ann,2,1,val,0.5
zoë,3,,test,0.75
eve,4,-1,none,1
"""
NUMBERED = VERTICES.replace("bob", "0").replace("ann", "1").replace("zoë", "2").replace("eve", "3")


def write_tables(folder):
    """The edge list and the vertex table, as CSV files; returns the folder."""
    (folder / "edges.csv").write_text(EDGES, encoding="utf-8")
    (folder / "vertices.csv").write_text(VERTICES, encoding="utf-8")
    return folder


def of_tables(folder, edges="edges.csv", out="g.h5", **options):
    vertices = options.pop("vertices", folder / "vertices.csv")
    options["vertices"] = () if vertices is None else np.atleast_1d(vertices).tolist()
    convert_edges(folder / edges, folder / out, EdgeListOptions(**options), show=False)
    return GraphStore(folder / out)


def of_text(folder, text, name="e.txt", **options):
    """A graph of an edge list alone."""
    (folder / name).write_text(text, encoding="utf-8")
    return of_tables(folder, name, vertices=None, **options)


def edges_of(graph, chunk=1 << 20):
    """The list of (source, target), or (source, target, weight)."""
    rows = []
    for source, target, weight in graph.iter_edges(chunk):
        columns = (source, target) if weight is None else (source, target, weight)
        rows += list(zip(*(c.tolist() for c in columns), strict=True))
    return rows
