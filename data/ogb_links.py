"""An OGB link-property folder -> a graph store whose edges say which part they are of.

    raw/num-node-list.csv.gz  node-feat.csv.gz (may be absent)
    split/SCHEME/train  valid  test, each .csv.gz with two columns, or .npz with `edge` (m, 2), or
    `source_node` and `target_node` (m,)

OGB's own splits are pickles (.pt), which are not read: they have to be saved anew. Negatives of
theirs are left out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import (
    EDGE_CHUNK,
    Arcs,
    ConvertOptions,
    EdgeChunk,
    Report,
    append_edges,
    report,
)
from batchgnn.data.csv_table import CsvTable
from batchgnn.data.features import FeatureRows
from batchgnn.data.npz_file import NpzFile
from batchgnn.data.ogb_raw import check_rows, find_csv, need_csv, read_integers
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION, GraphSpec, write_graph

PARTS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}
ENDS = (("edge",), ("source_node", "target_node"))
MIRRORED = ("ogbl_collab", "ogbl_ddi", "ogbl_ppa")
"Whose edges stand for both directions: add_inverse_edge of OGB's catalogue."
PREFIX = "ogbl"


def is_of_links(source: Path) -> bool:
    """Whether a folder is of a link-property dataset, by its name."""
    return any(name.startswith(PREFIX) for name in (source.name, source.resolve().name))


def convert_links(
    source: Path, out: Path, options: ConvertOptions, arcs: Arcs, folder: Path
) -> Report:
    """Convert the dataset, whose options are checked; folder: of the split.

    Raises DataError for a bad dataset, ConfigError for a bad option.
    """
    if options.split is not None or options.task is not None:
        raise ConfigError(
            f"--split and --task are of vertices, and {source} is of links: leave out"
        )
    counts = np.concatenate([n for _, n in read_integers(need_csv(source / "raw/num-node-list"))])
    if len(counts) != 1 or counts[0] < 0:
        raise DataError(f"{source}/raw/num-node-list.csv.gz: needed the number of one graph")
    n, table = int(counts[0]), None
    if find_csv(source / "raw/node-feat") is not None:
        table = need_csv(source / "raw/node-feat")
    spec = GraphSpec(
        name=options.name or source.resolve().name,
        licence=options.licence,
        num_vertices=n,
        directed=arcs == "directed",
        num_features=0 if table is None else len(table.columns),
        feature_dtype=options.dtype,
        splits_edges=True,
    )
    with write_graph(out, spec) as writer:
        features = FeatureRows(writer, options)
        if table is None:
            writer.append_features(np.empty((n, 0), np.float32))
        else:
            _append_features(features, table, n)
        for begin in range(0, n, EDGE_CHUNK):
            count = min(EDGE_CHUNK, n - begin)
            writer.append_labels(np.full(count, -1, np.int32))
            writer.append_split(np.full(count, NONE, np.uint8))
        edges = append_edges(writer, lambda: read_parts(folder, n), arcs, options, str(folder))
        taken = {"split of the edges": f"split/{folder.name}, kept", "split": "none: of edges"}
        return report(out, writer, taken | features.finish() | edges, options)


def _append_features(features: FeatureRows, table: CsvTable, n: int) -> None:
    """Append a row for each of n vertices. Raises DataError where there are more or fewer."""
    done, path = 0, str(table.path)
    for chunk in table.chunks():
        done += len(chunk)
        check_rows(path, max(done, n), n)
        rows = chunk.numbers(range(len(table.columns)))
        features.append(rows, Origin(path, chunk.first_row))
    check_rows(path, done, n)


def read_parts(folder: Path, n: int) -> Iterator[EdgeChunk]:
    """The edges of all parts, checked: ids below n. Raises DataError."""
    for name, part in PARTS.items():
        for origin, source, target in _ends(folder / name):
            for ids in (source, target):
                check_ids(ids, n, origin)
            yield source, target, None, np.full(len(source), part, np.uint8)


def _ends(stem: Path) -> Iterator[tuple[Origin, np.ndarray, np.ndarray]]:
    path = find_csv(stem)
    if path is not None:
        yield from _of_table(CsvTable(path, delimiter=",", header=False))
    elif stem.with_suffix(".npz").is_file():
        yield from _of_archive(stem.with_suffix(".npz"))
    else:
        found = stem.with_suffix(".pt")
        is_there = f"{found} is a pickle, which is not read" if found.is_file() else "it is absent"
        raise DataError(
            f"{stem}: {is_there}: save the edges as {stem.name}.npz, numpy.savez({stem.name}.npz, "
            "edge=EDGES), or as CSV"
        )


def _of_table(table: CsvTable) -> Iterator[tuple[Origin, np.ndarray, np.ndarray]]:
    if len(table.columns) != 2:
        raise DataError(f"{table.path}: needed two columns, found {len(table.columns)}")
    for chunk in table.chunks():
        origin = Origin(str(table.path), chunk.first_row)
        source, target = chunk.integers(0), chunk.integers(1)
        if source is None or target is None:
            raise DataError(f"{origin.file}: a vertex is no integer, after row {origin.first_row}")
        yield origin, source, target


def _of_archive(path: Path) -> Iterator[tuple[Origin, np.ndarray, np.ndarray]]:
    with NpzFile(path) as npz:
        keys = next((each for each in ENDS if each[0] in npz), None)
        shapes = [] if keys is None else [npz.shape(key) for key in keys]
        fits = len({shape[0] for shape in shapes if shape}) == 1 and all(
            shape[1:] == ((2,) if len(shapes) == 1 else ()) for shape in shapes
        )
        if keys is None or not fits or any(npz.dtype(key).kind not in "iu" for key in keys):
            raise DataError(
                f"{path}: needed integers edge (m, 2), or source_node and target_node (m,); found "
                f"{', '.join(f'{key} {npz.shape(key)}' for key in sorted(npz.header))}"
            )
        first = 0
        for rows in zip(*(npz.rows(key, EDGE_CHUNK) for key in keys), strict=True):
            ends = np.column_stack(rows).astype(np.int64)
            yield Origin(str(path), first), ends[:, 0].copy(), ends[:, 1].copy()
            first += len(ends)
