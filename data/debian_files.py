"""The large shared test graph `debian-files.npz`, whose arrays are packed in a way of their own.

`deg_out` and `indices_delta` are the differences of a CSR that lists each undirected edge once;
`cat` uint8 (N, 4) holds four categories, one-hot in 547 columns; `split` has codes of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.base.progress import progress
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import (
    EDGE_CHUNK,
    ConvertOptions,
    EdgeChunk,
    Report,
    append_edges,
    append_random_split,
    prepare_sparse,
    report,
    split_note,
)
from batchgnn.data.features import refuse_sparse
from batchgnn.data.labels import check_labels, task_of
from batchgnn.data.npz_arrays import class_names
from batchgnn.data.npz_file import NpzFile
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION, GraphSpec, write_graph
from batchgnn.store.labels import MULTICLASS, MULTILABEL
from batchgnn.store.taken import Record

KEYS = ("deg_out", "indices_delta", "cat", "split", "y")
SIZES = np.array([3, 256, 32, 256])
"Categories of each column of `cat`: node type, extension, depth or name length, leading word."

FIRST_COLUMN = np.cumsum(SIZES) - SIZES
VERTEX_CHUNK = 1 << 16
PARTS = np.full(256, NONE, np.uint8)
PARTS[[0, 1, 2]] = TRAIN, VALIDATION, TEST


def recognises(npz: NpzFile) -> bool:
    """Whether the archive has this packing."""
    return all(key in npz for key in KEYS)


def check_packed(npz: NpzFile, key: str, num_vertices: int) -> None:
    """Raise DataError unless an array is as this packing has it."""
    wanted = "numbers" if key == "y" else "integers"
    of_vertices = key == "indices_delta" or npz.length(key) == num_vertices
    columns = npz.shape(key)[1:] == ((len(SIZES),) if key == "cat" else ())
    if (
        npz.dtype(key).kind not in ("biuf" if key == "y" else "iu")
        or not of_vertices
        or not columns
    ):
        raise DataError(f"{npz.path}: {key} is {npz.dtype(key)} {npz.shape(key)}, needed {wanted}")


def convert(npz: NpzFile, out: Path, options: ConvertOptions, *, show: bool) -> Report:
    """Convert the archive to the graph store `out`."""
    refuse_sparse(options, npz.path)
    n, num_edges = npz.length("deg_out"), npz.length("indices_delta")
    for key in KEYS:
        check_packed(npz, key, n)
    scaled = options.normalize_features == "row"
    names = class_names(npz)
    task = task_of(options.task, 1, str(npz.path))
    spec = GraphSpec(
        name=options.name or npz.path.stem,
        licence=options.licence,
        num_vertices=n,
        directed=options.arcs == "directed",
        num_features=int(SIZES.sum()),
        features="sparse" if scaled else "binary",
        task=task,
        num_classes=1 if task == MULTILABEL else options.classes or (len(names or ()) or None),
        weighted=options.double_edges == "sum",
        class_names=names if task == MULTICLASS else None,
    )
    with write_graph(out, spec) as writer:
        with progress(f"{spec.name}: vertices", n, "vertices", show=show) as bar:
            for first, labels, category, split in _vertices(npz):
                origin = Origin(f"{npz.path}: cat", first)
                counts = np.full(len(category), len(SIZES))
                if (category >= SIZES).any():
                    row = int(np.argmax((category >= SIZES).any(axis=1)))
                    raise DataError(f"{origin.at(row)}: categories {category[row]} of {SIZES}")
                columns = (category + FIRST_COLUMN).reshape(-1)
                values = prepare_sparse(counts, None, options, origin)
                writer.append_sparse_features(counts, columns, values)
                labels = check_labels(labels, spec, Origin(f"{npz.path}: y", first))
                writer.append_labels(labels)
                if options.split is None:
                    writer.append_split(PARTS[split])
                else:
                    append_random_split(writer, options, first, labels)
                bar.advance(len(labels))
        with progress(f"{spec.name}: edges", num_edges, "edges", show=show) as bar:
            arcs = options.arcs or "once"
            of_edges = append_edges(
                writer, lambda: _edges(npz, n), arcs, options, str(npz.path), bar.advance
            )
        said = "its own split kept" if options.split is None else split_note(options)
        taken: Record = {"edges": "deg_out, indices_delta", "features": "cat", "label": "y"}
        return report(out, writer, taken | {"split": said} | of_edges, options)


def _vertices(npz: NpzFile) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    first = 0
    columns = (npz.rows(key, VERTEX_CHUNK) for key in ("y", "cat", "split"))
    for labels, category, split in zip(*columns, strict=True):
        yield first, labels, category.astype(np.int64), split
        first += len(labels)


def _edges(npz: NpzFile, n: int) -> Iterator[EdgeChunk]:
    """Sources are repeated by degree, targets are running sums, both carried over the chunks."""
    deltas = npz.rows("indices_delta", EDGE_CHUNK)
    pending, target, first, edge = np.empty(0, np.int64), 0, 0, 0
    ends = npz.rows("deg_out", VERTEX_CHUNK)
    for delta in deltas:
        while len(pending) < len(delta):
            degree = next(ends, None)
            if degree is None:
                raise DataError(f"{npz.path}: deg_out has fewer edges than indices_delta")
            rows = np.arange(first, first + len(degree))
            pending = np.concatenate([pending, np.repeat(rows, degree)])
            first += len(degree)
        targets = target + np.cumsum(delta, dtype=np.int64)
        check_ids(targets, n, Origin(f"{npz.path}: indices_delta", edge))
        yield pending[: len(delta)], targets, None
        pending, target, edge = pending[len(delta) :], int(targets[-1]), edge + len(delta)
