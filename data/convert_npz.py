"""`batchgnn data convert npz`: a graph in one .npz archive -> a graph store.

Arrays of the archive, by name:

- edges: a CSR `indptr, indices` (row u lists the targets of u), or `edge_index` (2, E), or `source,
  target`; optional `edge_weight`; optional `directed` (bool). Undirected graphs hold both
  directions unless `--arcs once`. Or, split for link prediction, `train_pos, val_pos, test_pos`
  (2, m), or `train_pos_edge_index` and so on, each edge listed once.
- features: dense `x` (N, D), or CSR `x_indptr, x_indices, x_shape` and `x_data` (absent: all ones)
- labels: `y` (N,), -1 or NaN = none; or 0/1 (N, C) multi-label; or numbers (N,), NaN = none;
  optional `class_names` (C,)
- `ids` (N,), integers or text: the user's own; else rows are the ids
- splits: `train_mask, val_mask, test_mask`, (N,) or (N, R), or row numbers `train_idx, val_idx,
  test_idx`; none: a random split

`npz_names` has the other names that are known. Arrays that are not used are named in the report.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.base.progress import progress
from batchgnn.data import debian_files
from batchgnn.data.arrays import Arrays
from batchgnn.data.checks import (
    Origin,
    check_finite,
    check_ids,
    check_indptr,
)
from batchgnn.data.convert import (
    EDGE_CHUNK,
    FEATURE_CHUNK_BYTES,
    Arcs,
    ConvertOptions,
    EdgeChunk,
    Report,
    append_edges,
    append_random_split,
    prepare_sparse,
    report,
    split_note,
)
from batchgnn.data.features import FeatureRows, refuse_sparse
from batchgnn.data.labels import check_labels, task_of
from batchgnn.data.npz_arrays import (
    check_edge_arrays,
    class_names,
    feature_kind,
    ids_of,
    is_directed,
    misfit,
    num_edges,
    num_vertices,
)
from batchgnn.data.npz_file import NpzFile
from batchgnn.data.npz_names import PARTS_OF_EDGES, NpzSplit, name_usually
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_writer import (
    TEST,
    TRAIN,
    VALIDATION,
    GraphSpec,
    GraphStoreWriter,
    write_graph,
)
from batchgnn.store.labels import MULTILABEL, REGRESSION
from batchgnn.store.taken import Record

VERTEX_CHUNK = 1 << 16
EDGE_ARRAYS = (PARTS_OF_EDGES, ("indptr", "indices"), ("edge_index",), ("source", "target"))


def convert_npz(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: ConvertOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the archive `source` to the graph store `out`.

    Raises DataError for a bad archive, ConfigError for a bad option, StoreError when `out` exists.
    """
    options = options or ConvertOptions()
    with NpzFile(source) as npz:
        if debian_files.recognises(npz):
            options.check()
            refuse_existing(out)
            return debian_files.convert(npz, Path(out), options, show=show)
        return convert_arrays(npz, out, options, show=show)


def convert_arrays(
    npz: Arrays, out: str | os.PathLike, options: ConvertOptions, *, show: bool = False
) -> Report:
    """As `convert_npz`, of arrays that are open."""
    options.check()
    refuse_existing(out)
    name_usually(npz)
    split = NpzSplit(npz, num_vertices(npz), drawn=options.split is not None)
    ids = ids_of(npz, split.num_vertices)
    spec = read_spec(npz, split, options, None if ids is None else ids.dtype)
    if spec.features != "dense":
        refuse_sparse(options, npz.path)
    with write_graph(out, spec) as writer:
        features = FeatureRows(writer, options)
        with progress(f"{spec.name}: features", spec.num_vertices, "rows", show=show) as bar:
            for rows in append_all_features(npz, features, options):
                bar.advance(rows)
        if ids is not None:
            writer.append_names(ids)
        append_labels(npz, writer, split, options)
        with progress(f"{spec.name}: edges", num_edges(npz), "edges", show=show) as bar:
            of_edges = append_edges(
                *(writer, lambda: read_edges(npz, spec.num_vertices), arcs_of(npz, options)),
                *(options, str(npz.path), bar.advance),
            )
        return report(
            out, writer, taken_of(npz, split, options) | features.finish() | of_edges, options
        )


def taken_of(npz: Arrays, split: NpzSplit, options: ConvertOptions) -> Record:
    """What the arrays were taken as, for the report."""
    edges = next(keys for keys in EDGE_ARRAYS if keys[0] in npz)
    features = [key for key in ("x", "x_indptr", "x_indices", "x_data") if key in npz]
    used = {*edges, *features, *split.keys, "edge_weight", "y", "directed", "x_shape", "ids"}
    names = "class_names" if "class_names" in npz else ""

    def called(*keys: str) -> str:
        return ", ".join(npz.names.get(key, key) for key in keys)

    return {
        "edges": f"{called(*edges)}",
        "id": called("ids") if "ids" in npz else "the number of the row",
        "weight": called("edge_weight") if "edge_weight" in npz else "none",
        "features": called(*features) or "none",
        "label": called("y") if "y" in npz else "none",
        "names of the classes": names,
        "split": split.said if split.keys else split_note(options),
        "arrays not used": sorted(key for key in npz.header if key not in {*used, names}),
    }


def arcs_of(npz: Arrays, options: ConvertOptions) -> Arcs:
    """The convention of the edges: the option, else what `directed` says, else both directions;
    of edges that lie in parts, once."""
    if options.arcs is not None:
        return options.arcs
    if PARTS_OF_EDGES[0] in npz and "directed" not in npz:
        return "once"
    return "directed" if is_directed(npz) else "both"


def read_spec(
    npz: Arrays, split: NpzSplit, options: ConvertOptions, name_dtype: np.dtype | None = None
) -> GraphSpec:
    """The graph as the headers tell it; raises DataError when they contradict each other.

    name_dtype: of the user's ids, where there are any
    """
    n = split.num_vertices
    check_edge_arrays(npz)
    features, width = feature_kind(npz, n, options)
    label_shape = npz.shape("y") if "y" in npz else (n,)
    columns = int(np.prod(label_shape[1:]))
    task = task_of(options.task, columns, f"{npz.path}: y")
    if options.task is not None:
        npz.shape("y")  # raises when there is none
    names = None if task == REGRESSION else class_names(npz)
    classes = columns if task == MULTILABEL else options.classes
    if names is not None and classes is None:
        classes = len(names)
    if "y" in npz and npz.length("y") != n:
        raise misfit(npz, "y", n)
    return GraphSpec(
        name=options.name or npz.path.stem,
        licence=options.licence,
        num_vertices=n,
        directed=arcs_of(npz, options) == "directed",
        num_features=width,
        feature_dtype=np.float32 if features != "dense" else options.dtype,
        features=features,
        task=task,
        num_classes=classes,
        num_splits=split.num_splits if split.keys and split.are_masks else 0,
        name_dtype=name_dtype,
        splits_edges=PARTS_OF_EDGES[0] in npz,
        weighted="edge_weight" in npz or options.double_edges == "sum",
        class_names=names if names is not None and classes == len(names) else None,
    )


def append_all_features(
    npz: Arrays, features: FeatureRows, options: ConvertOptions
) -> Iterator[int]:
    """Append the features chunk by chunk; yields the rows of each."""
    writer = features.writer
    if writer.spec.features == "dense":
        yield from _append_dense(npz, features)
        return
    origin = str(npz.path)
    indices = Chunks(npz, "x_indices")
    data = Chunks(npz, "x_data") if "x_data" in npz else None
    for first, pointers in csr_blocks(npz, "x_indptr", npz.shape("x_indices")[0]):
        for begin, end in row_blocks(pointers, EDGE_CHUNK):
            counts = np.diff(pointers[begin : end + 1])
            stored = int(counts.sum())
            columns = indices.take(stored)
            where = Origin(f"{origin}: x", first + begin)
            _check_columns(columns, counts, writer.spec.num_features, where)
            values = None if data is None else data.take(stored)
            values = prepare_sparse(counts, values, options, where)
            writer.append_sparse_features(counts, columns, values)
        yield len(pointers) - 1


def _append_dense(npz: Arrays, features: FeatureRows) -> Iterator[int]:
    writer = features.writer
    n, width = writer.spec.num_vertices, writer.spec.num_features
    if "x" not in npz:
        writer.append_features(np.empty((n, 0), np.float32))
        return
    first, step = 0, max(FEATURE_CHUNK_BYTES // (4 * max(width, 1)), 1)
    for rows in npz.rows("x", step):
        origin = Origin(f"{npz.path}: x", first)
        features.append(rows, origin)
        first += len(rows)
        yield len(rows)


def _check_columns(columns: np.ndarray, counts: np.ndarray, width: int, origin: Origin) -> None:
    if len(columns) and (columns.min() < 0 or columns.max() >= width):
        e = int(np.argmax((columns < 0) | (columns >= width)))
        row = int(np.searchsorted(np.cumsum(counts), e, side="right"))
        raise DataError(
            f"{origin.at(row)}: feature column {columns[e]} is out of range: x_shape says there "
            f"are {width:,}, numbered 0 to {width - 1:,}"
        )


class Chunks:
    """A vector of the archive, taken in pieces of any length, in order."""

    def __init__(self, npz: Arrays, key: str):
        """Nothing is read yet."""
        self.parts, self.rest = npz.rows(key, EDGE_CHUNK), np.empty(0, npz.dtype(key))

    def take(self, count: int) -> np.ndarray:
        """The next `count` values."""
        have = [self.rest]
        while sum(map(len, have)) < count:
            have.append(next(self.parts))
        values = np.concatenate(have)
        self.rest = values[count:]
        return values[:count]


def csr_blocks(npz: Arrays, key: str, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, int64 (k + 1,) pointers) of blocks of a CSR's rows; checked."""
    first, last = 0, np.zeros(1, np.int64)
    n = npz.shape(key)[0] - 1
    for rows in npz.rows(key, VERTEX_CHUNK, 1):
        pointers = np.concatenate([last, rows.astype(np.int64)])
        check_indptr(pointers, end, Origin(f"{npz.path}: {key}", first))
        yield first, pointers
        first, last = first + len(rows), pointers[-1:]
    if int(next(npz.rows(key, 1))[0]) != 0 or last[0] != end or first != n:
        raise DataError(
            f"{npz.path}: {key} must begin with 0 and end with the number of entries, {end:,}; it "
            f"ends with {last[0]:,}. The file is damaged or no CSR"
        )


def row_blocks(pointers: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of runs of rows with at most `most` entries each, or one row."""
    begin, num_rows = 0, len(pointers) - 1
    while begin < num_rows:
        end = int(np.searchsorted(pointers, pointers[begin] + most, side="right")) - 1
        end = min(max(end, begin + 1), num_rows)
        yield begin, end
        begin = end


def append_labels(
    npz: Arrays, writer: GraphStoreWriter, split: NpzSplit, options: ConvertOptions
) -> None:
    """Append labels and splits."""
    spec, first = writer.spec, 0
    parts = split.chunks(VERTEX_CHUNK)
    for labels in _label_chunks(npz, spec):
        origin = Origin(f"{npz.path}: y", first)
        labels = check_labels(labels, spec, origin)
        writer.append_labels(labels)
        if split.keys:
            writer.append_split(next(parts))
        else:
            append_random_split(writer, options, first, labels)
        first += len(labels)


def _label_chunks(npz: Arrays, spec: GraphSpec) -> Iterator[np.ndarray]:
    if "y" in npz:
        yield from npz.rows("y", VERTEX_CHUNK)
        return
    for first in range(0, spec.num_vertices, VERTEX_CHUNK):
        yield np.full(min(VERTEX_CHUNK, spec.num_vertices - first), np.nan, np.float32)


def read_edges(npz: Arrays, n: int) -> Iterator[EdgeChunk]:
    """(source, target, weight or None) in chunks: int64, checked; with parts, where there are."""
    if PARTS_OF_EDGES[0] in npz:
        yield from _read_parts(npz, n)
        return
    weights = npz.rows("edge_weight", EDGE_CHUNK) if "edge_weight" in npz else None
    first = 0
    for source, target in _read_ends(npz):
        key = "indices" if "indptr" in npz else "edge_index" if "edge_index" in npz else "target"
        target, source = target.astype(np.int64), source.astype(np.int64)
        check_ids(target, n, Origin(f"{npz.path}: {key}", first))
        check_ids(source, n, Origin(f"{npz.path}: {key}", first))
        weight = None
        if weights is not None:
            with np.errstate(over="ignore"):
                weight = next(weights).astype(np.float32)
            check_finite(weight, Origin(f"{npz.path}: edge_weight", first), "weight")
        yield source, target, weight
        first += len(source)


def _read_parts(npz: Arrays, n: int) -> Iterator[EdgeChunk]:
    """Edges of training, validation and test, one behind the other."""
    for part, key in zip((TRAIN, VALIDATION, TEST), PARTS_OF_EDGES, strict=True):
        first = 0
        for ends in npz.pairs(key, EDGE_CHUNK):
            source, target = (each.astype(np.int64) for each in ends)
            check_ids(source, n, Origin(f"{npz.path}: {key}", first))
            check_ids(target, n, Origin(f"{npz.path}: {key}", first))
            yield source, target, None, np.full(len(source), part, np.uint8)
            first += len(source)


def _read_ends(npz: Arrays) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sources and targets, `EDGE_CHUNK` at a time but for the last."""
    if "indptr" in npz:
        yield from _read_csr(npz)
    elif "edge_index" in npz:
        yield from npz.pairs("edge_index", EDGE_CHUNK)
    else:
        yield from zip(npz.rows("source", EDGE_CHUNK), npz.rows("target", EDGE_CHUNK), strict=True)


def _read_csr(npz: Arrays) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    blocks = csr_blocks(npz, "indptr", npz.shape("indices")[0])
    first, pointers = next(blocks, (0, np.zeros(1, np.int64)))
    done = 0
    for targets in npz.rows("indices", EDGE_CHUNK):
        source, filled = np.empty(len(targets), np.int64), 0
        while filled < len(targets):
            while pointers[-1] <= done + filled:
                first, pointers = next(blocks)
            count = min(int(pointers[-1]) - done, len(targets)) - filled
            entry = np.arange(done + filled, done + filled + count)
            row = np.searchsorted(pointers, entry, side="right") - 1
            source[filled : filled + count] = first + row
            filled += count
        yield source, targets
        done += len(targets)
    for _ in blocks:  # checks the rest
        pass
