"""`batchgnn data convert edges`: an edge list and a vertex table, CSV or Parquet -> a graph store.

Without a vertex table the vertices are those of the edges, in sorted order, or the rows of
`features_npy`. Ids other than row numbers are kept as `vertex/name`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.base.progress import progress
from batchgnn.data.checks import Origin, check_finite
from batchgnn.data.convert import EdgeChunk, Report, append_edges, report, split_note
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.edge_split import edge_parts, parts_of_files
from batchgnn.data.features import FeatureRows
from batchgnn.data.headers import (
    INDEX_NAMES,
    SOURCE_NAMES,
    TARGET_NAMES,
    edge_header,
    find_column,
)
from batchgnn.data.ids import Ids, RowIds, ids_of_edges, ids_of_table
from batchgnn.data.joined import open_tables
from batchgnn.data.npy_features import NpyFeatures
from batchgnn.data.tables import Table
from batchgnn.data.vertex_table import VertexTable
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_writer import NONE, TRAIN, GraphSpec, GraphStoreWriter, write_graph
from batchgnn.store.taken import Record

EdgeColumns = tuple[int, int, int | None, int | None]
"Positions of source, target, weight and part of a split in the edge list."

NO_NAMES = " (columns of a file without header go by number; --header says that it has one)"
ROW_CHUNK = 1 << 16


def convert_edges(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: EdgeListOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the edge list `source` to the graph store `out`.

    Raises DataError for a bad file, ConfigError for a bad option, StoreError when `out` exists.
    """
    options = options or EdgeListOptions()
    options.check()
    refuse_existing(out)
    named = options.source, options.target, options.weight, options.edge_split
    header = edge_header(named, options.header)
    files = source, *options.more, *options.val_edges, *options.test_edges
    edges = open_tables(files, delimiter=options.delimiter, header=header)
    columns = edge_columns(edges, options)
    held_out = parts_of_files(options) if options.holds_out else None
    vertices = VertexTable(options) if options.vertices else None
    npy = None if options.features_npy is None else NpyFeatures(options.features_npy)
    ids = read_ids(edges, columns, vertices, npy)
    spec = make_spec(edges, options, ids, vertices, npy)
    with write_graph(out, spec) as writer:
        for names in ids.names():
            writer.append_names(names)
        features = FeatureRows(writer, options)
        if npy is not None:
            npy.append(features, link=options.link_features)
        if vertices is None:
            append_unlabelled(writer, with_features=npy is None)
        else:
            with shown(f"{spec.name}: vertices", vertices.table, show) as advance:
                vertices.append(features, options, npy is None, advance)
        with shown(f"{spec.name}: edges", edges, show) as advance:
            of_edges = append_edges(
                *(
                    writer,
                    lambda: read_edges(edges, columns, ids, held_out),
                    options.arcs or "once",
                ),
                *(options, str(edges.path), lambda _: advance()),
            )
        taken = taken_of(edges, columns) | of_edges
        if held_out:
            taken["split of the edges"] = f"held out: {', '.join(held_out)}"
        if vertices is not None:
            taken |= vertices.taken()
            if vertices.draws_split(options):
                taken["split"] = split_note(options) if vertices.label else "none, without labels"
        if npy is not None:
            taken["features"] = f"{npy.path.name}, {npy.shape[1]:,} columns"
        return report(out, writer, taken | features.finish(), options)


@contextmanager
def shown(label: str, table: Table, show: bool) -> Iterator[Callable[[], None]]:
    """Progress over a table: gives a function to call after each chunk."""
    done = 0
    with progress(label, table.size, table.unit, show=show) as bar:

        def advance() -> None:
            nonlocal done
            position = table.position()
            bar.advance(max(position - done, 0))
            done = position

        yield advance


def edge_columns(edges: Table, options: EdgeListOptions) -> EdgeColumns:
    """Which columns of the edge list are what; raises DataError where that may be otherwise."""
    path, columns = edges.path, edges.columns
    if len(columns) < 2:
        raise DataError(
            f"{path} has one column, {columns[0]!r}: needed a source and a target. Give the "
            f"--delimiter"
        )
    source = find_column(path, columns, options.source, SOURCE_NAMES, "--source")
    target = find_column(path, columns, options.target, TARGET_NAMES, "--target")
    weight = find_column(path, columns, options.weight, (), "--weight")
    split = find_column(path, columns, options.edge_split, (), "--edge-split")
    rest = [
        c
        for c, name in enumerate(columns)
        if c not in (source, target, weight, split)
        and not (edges.has_header and name.lower() in INDEX_NAMES)
    ]
    if len(rest) == (source is None) + (target is None):
        source = rest.pop(0) if source is None else source
        target = rest.pop(0) if target is None else target
    if source is None or target is None:
        left = [columns[c] for c in rest] or ["COLUMN"]
        names = left[0] if source is None else columns[source], left[-1]
        if target is not None:
            names = names[0], columns[target]
        raise DataError(
            f"{path}: which columns are the edges' source and target? Found "
            f"{', '.join(name or '(unnamed)' for name in columns[:20])}. Name them: --source "
            f"{names[0]} --target {names[1]}" + ("" if edges.has_header else NO_NAMES)
        )
    if source == target:
        raise DataError(
            f"{path}: --source and --target are both {columns[source]}; needed two columns"
        )
    return source, target, weight, split


def taken_of(edges: Table, columns: EdgeColumns) -> Record:
    """What the edge list's columns were taken as, for the report."""
    source, target, weight, split = (None if c is None else edges.columns[c] for c in columns)
    first = ", ".join(edges.first_cells[:6])
    hint = "--no-header if it is an edge" if edges.has_header else "--header if it names columns"
    what = "first line" if edges.has_header else "none, the first line is an edge"
    rest = [name or "(unnamed)" for c, name in enumerate(edges.columns) if c not in columns]
    return {
        "header": f"{what}: {first} ({hint})" if edges.unit == "bytes" else "of Parquet",
        "files of the edges, in this order": list(edges.files),
        "source": f"column {source}",
        "target": f"column {target}",
        "weight": "none" if weight is None else f"column {weight}",
        "split of the edges": "" if split is None else f"column {split}",
        "columns of the edges not used": rest,
        "comments and blank lines skipped": edges.num_comments or "",
    }


def read_ids(
    edges: Table, columns: EdgeColumns, vertices: VertexTable | None, npy: NpyFeatures | None
) -> Ids:
    """The vertices: of the vertex table, else the rows of the features, else of the edges."""
    if vertices is not None:
        ids = ids_of_table(vertices.table, vertices.id)
        if npy is not None and npy.shape[0] != ids.num_vertices:
            raise DataError(
                f"{npy.path} has {npy.shape[0]:,} rows, {vertices.table.path} has "
                f"{ids.num_vertices:,} vertices; needed one row of features for each vertex, in "
                f"the same order"
            )
        return ids
    return RowIds(npy.shape[0]) if npy is not None else ids_of_edges(edges, columns[:2])


def make_spec(
    edges: Table,
    options: EdgeListOptions,
    ids: Ids,
    vertices: VertexTable | None,
    npy: NpyFeatures | None,
) -> GraphSpec:
    """What the options and tables say of the graph."""
    spec = GraphSpec(
        name=options.name or edges.path.name.split(".")[0],
        licence=options.licence,
        num_vertices=ids.num_vertices,
        directed=options.arcs == "directed",
        feature_dtype=options.dtype,
        num_classes=options.classes,
        splits_edges=options.edge_split is not None or options.holds_out,
        weighted=options.weight is not None or options.double_edges == "sum",
        name_dtype=ids.name_dtype,
    )
    if vertices is not None:
        spec = replace(
            spec,
            num_features=vertices.num_features,
            task=vertices.task,
            num_classes=vertices.num_classes(options),
            class_names=vertices.classes.names,
        )
    if npy is not None:
        spec = replace(spec, num_features=npy.shape[1])
    if npy is not None and options.link_features:
        spec = replace(spec, feature_dtype=npy.dtype.type, raw_features=npy.raw())
    return spec


def append_unlabelled(writer: GraphStoreWriter, *, with_features: bool) -> None:
    """Vertices of which nothing but their edges is known."""
    for first in range(0, writer.spec.num_vertices, ROW_CHUNK):
        labels = np.full(min(ROW_CHUNK, writer.spec.num_vertices - first), -1, np.int32)
        writer.append_labels(labels)
        writer.append_split(np.full(len(labels), NONE, np.uint8))
        if with_features:
            writer.append_features(np.empty((len(labels), 0), np.float32))


def read_edges(
    edges: Table, columns: EdgeColumns, ids: Ids, held_out: Mapping[str, int] | None = None
) -> Iterator[EdgeChunk]:
    """By rows of the vertices, checked; held_out: parts by file, where edges are split so."""
    source, target, weight_column, split = columns
    for chunk in edges.chunks([column for column in columns if column is not None]):
        weight = None
        if weight_column is not None:
            with np.errstate(over="ignore"):
                weight = chunk.numbers([weight_column])[:, 0].astype(np.float32)
            check_finite(weight, Origin(str(edges.path), chunk.first_row), "weight")
        ends = ids.rows(chunk, source, edges), ids.rows(chunk, target, edges)
        if split is not None:
            yield *ends, weight, edge_parts(edges, chunk, split)
        elif held_out is not None:
            part = held_out.get(str(edges.path), TRAIN)
            yield *ends, weight, np.full(len(chunk), part, np.uint8)
        else:
            yield *ends, weight
