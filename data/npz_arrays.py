"""Which arrays an .npz archive has, by their headers: checked before any is read."""

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.arrays import Arrays
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.npz_names import PARTS_OF_EDGES


def num_edges(npz: Arrays) -> int:
    """Rows of the edge list."""
    if PARTS_OF_EDGES[0] in npz:
        return sum(npz.shape(key)[-1] for key in PARTS_OF_EDGES)
    if "indices" in npz:
        return npz.shape("indices")[0]
    return npz.shape("edge_index")[-1] if "edge_index" in npz else npz.shape("source")[0]


def num_vertices(npz: Arrays) -> int:
    """Vertices, by the first array that says it."""
    if "indptr" in npz:
        return max(npz.length("indptr") - 1, 0)
    if "x" in npz:
        return npz.length("x")
    if "x_shape" in npz:
        return sparse_shape(npz)[0]
    if "y" in npz:
        return npz.length("y")
    raise DataError(
        f"{npz.path}: how many vertices are there? Needed indptr, x, x_shape or y; found "
        f"{', '.join(sorted(npz.header))}"
    )


def sparse_shape(npz: Arrays) -> tuple[int, int]:
    """(vertices, features) of sparse features; raises DataError for anything else."""
    shape = npz.shape("x_shape")
    stated = npz.read("x_shape") if npz.dtype("x_shape").kind in "iu" and shape == (2,) else None
    if stated is None or stated.min() < 0 or stated.max() >= 2**31:
        raise DataError(f"{npz.path}: x_shape is no (vertices, features); needed two integers")
    return int(stated[0]), int(stated[1])


def class_names(npz: Arrays) -> list[str] | None:
    """The names of the classes, where there are any; raises DataError unless they are texts."""
    if "class_names" not in npz:
        return None
    shape, kind = npz.shape("class_names"), npz.dtype("class_names").kind
    if len(shape) != 1 or kind not in "US":
        raise DataError(
            f"{npz.path}: class_names is {npz.dtype('class_names')} {shape}, needed a text for "
            f"each class, (C,)"
        )
    found = npz.read("class_names").tolist()
    return [name.decode(errors="replace") if kind == "S" else name for name in found]


def is_directed(npz: Arrays) -> bool:
    """What the array `directed` says; raises DataError unless it is one value."""
    if "directed" not in npz:
        return False
    said = npz.read("directed").ravel()
    if len(said) != 1 or said.dtype.kind not in "biu":
        raise DataError(f"{npz.path}: directed is {said.dtype} {said.shape}, needed True or False")
    return bool(said[0])


def misfit(npz: Arrays, key: str, n: int) -> DataError:
    """The error for an array that has not a row for each vertex."""
    return DataError(
        f"{npz.path}: {key} has shape {npz.shape(key)}, but the graph has {n:,} vertices; needed "
        f"one row for each vertex"
    )


def check_edge_arrays(npz: Arrays) -> None:
    """Raise DataError unless the archive has edges in a known form, as integers."""
    if PARTS_OF_EDGES[0] in npz:
        _check_parts(npz)
        return
    if "indptr" in npz:
        keys: tuple[str, ...] = ("indptr", "indices")
    elif "edge_index" in npz:
        keys = ("edge_index",)
        if npz.shape("edge_index")[:1] != (2,) or len(npz.shape("edge_index")) != 2:
            raise DataError(
                f"{npz.path}: edge_index has shape {npz.shape('edge_index')}, needed (2, E)"
            )
    elif "source" in npz:
        keys = ("source", "target")
        if npz.shape("source") != npz.shape("target"):
            raise DataError(
                f"{npz.path}: source has shape {npz.shape('source')}, target has "
                f"{npz.shape('target')}; needed the same"
            )
    else:
        raise DataError(
            f"{npz.path}: no edges. Needed the arrays indptr and indices (CSR), or edge_index "
            f"(2, E), or source and target; found {', '.join(sorted(npz.header))}"
        )
    if "format" in npz and npz.read("format").ravel().astype(str).tolist() != ["csr"]:
        raise DataError(
            f"{npz.path}: a matrix of scipy in another format than CSR. Save it again: "
            f"scipy.sparse.save_npz(FILE, A.tocsr())"
        )
    for key in keys:
        npz.length(key)
        if len(npz.shape(key)) != (2 if key == "edge_index" else 1):
            raise DataError(f"{npz.path}: {key} has shape {npz.shape(key)}, needed one row of ids")
        if npz.dtype(key).kind not in "iu":
            raise DataError(f"{npz.path}: {key} is {npz.dtype(key)}, needed integers")
    if "edge_weight" in npz and npz.shape("edge_weight") != (num_edges(npz),):
        raise DataError(
            f"{npz.path}: edge_weight has shape {npz.shape('edge_weight')}, needed "
            f"({num_edges(npz)},): one weight for each edge"
        )
    if "edge_weight" in npz and npz.dtype("edge_weight").kind not in "fiub":
        raise DataError(f"{npz.path}: edge_weight is {npz.dtype('edge_weight')}, needed numbers")


def _check_parts(npz: Arrays) -> None:
    """Raise DataError unless each part of the edges is integers (2, m)."""
    for key in PARTS_OF_EDGES:
        shape = npz.shape(key)
        if len(shape) != 2 or shape[0] != 2 or npz.dtype(key).kind not in "iu":
            raise DataError(
                f"{npz.path}: {key} is {npz.dtype(key)} {shape}, needed integers (2, m)"
            )
    if "edge_weight" in npz:
        raise DataError(
            f"{npz.path}: edge_weight does not say of which of {', '.join(PARTS_OF_EDGES)} it is. "
            "Leave it out"
        )


def feature_kind(npz: Arrays, n: int, options: ConvertOptions) -> tuple[str, int]:
    """(`dense`, `sparse` or `binary`, columns)."""
    if "x" in npz:
        if len(npz.shape("x")) != 2 or npz.shape("x")[0] != n:
            raise misfit(npz, "x", n)
        if npz.dtype("x").kind not in "fiub":
            raise DataError(f"{npz.path}: x is {npz.dtype('x')}, needed numbers")
        return "dense", npz.shape("x")[1]
    if "x_indptr" not in npz:
        return "dense", 0
    if options.feature_dtype != "float32":
        raise ConfigError(
            f"--feature-dtype {options.feature_dtype}: the features of {npz.path} are sparse, and "
            f"sparse features are stored as float32"
        )
    shape = sparse_shape(npz)
    if shape[0] != n or npz.shape("x_indptr") != (n + 1,):
        raise misfit(npz, "x_indptr", n)
    if "x_data" in npz and npz.shape("x_data") != npz.shape("x_indices"):
        raise DataError(f"{npz.path}: x_data and x_indices differ in length")
    has_values = "x_data" in npz or options.normalize_features == "row"
    return "sparse" if has_values else "binary", shape[1]


def ids_of(npz: Arrays, n: int) -> np.ndarray | None:
    """The user's ids of the vertices, int64 or S* (N,), distinct; None where rows are the ids."""
    if "ids" not in npz:
        return None
    if npz.shape("ids") != (n,):
        raise misfit(npz, "ids", n)
    ids = npz.read("ids")
    if ids.dtype.kind not in "iuUS":
        raise DataError(f"{npz.path}: ids is {ids.dtype}, needed integers or text")
    ids = np.char.encode(ids, "utf-8") if ids.dtype.kind == "U" else ids
    ids = ids if ids.dtype.kind == "S" else ids.astype(np.int64)
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
    if len(again):
        first, second = order[again[0]], order[again[0] + 1]
        raise DataError(
            f"{npz.path}: ids: rows {first} and {second} are both {ids[first]}, needed another for "
            f"each vertex"
        )
    return ids
