"""`batchgnn data convert edges`: an edge list and a vertex table, CSV or Parquet -> a graph store.

Without a vertex table the vertices are those of the edges, in sorted order, or the rows of
`features_npy`. Ids other than row numbers are kept as `vertex/name`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.base.progress import progress
from batchgnn.data.checks import Origin, check_finite, check_labels, check_multilabel
from batchgnn.data.convert import (
    FEATURE_CHUNK_BYTES,
    ConvertOptions,
    EdgeChunk,
    Report,
    append_edges,
    append_random_split,
    prepare_features,
    report,
    split_note,
)
from batchgnn.data.ids import Ids, RowIds, ids_of_edges, ids_of_table
from batchgnn.data.npz_file import read_npy_header
from batchgnn.data.tables import Chunk, Table, find_column, is_number, open_table
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_store import MULTICLASS, MULTILABEL
from batchgnn.store.graph_writer import (
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    GraphSpec,
    GraphStoreWriter,
    RawFeatures,
    write_graph,
)

SOURCE_NAMES = ("source", "src", "from")
TARGET_NAMES = ("target", "dst", "to")
NO_LABEL = ("", "-1", "nan", "None")
PARTS = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION}
PARTS |= {"test": TEST, "none": NONE, "": NONE, "0": NONE, "1": TRAIN, "2": VALIDATION, "3": TEST}
ROW_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class EdgeListOptions(ConvertOptions):
    """Options of `convert edges`. Columns go by name, or by number from 1 without a header."""

    source: str | None = None
    "Column of the edges' sources; default: source, src or from, else the first."

    target: str | None = None
    "Column of the edges' targets; default: target, dst or to, else the second."

    weight: str | None = None
    "Column of the edges' weights; default: no weights."

    vertices: Path | None = None
    "Vertex table, CSV or Parquet: a row for each vertex with id, features, label, split."

    id: str | None = None
    "Column of the vertices' ids; default: id, else the first."

    label: tuple[str, ...] = ()
    """Column of labels, integers (-1 or empty = none) or text; several columns of 0 and 1 make a
    multi-label task; default: label, if there is one."""

    split_column: str | None = None
    "Column of the split: train, val, test or none; default: split, if there is one."

    features: tuple[str, ...] = ()
    "Columns of features; default: all that are neither id, label nor split."

    features_npy: Path | None = None
    "Features instead as an .npy file (vertices, features), rows as in the vertex table."

    link_features: bool = False
    "Leave the features in the .npy file and link it (float32 or float16), rather than copy."

    delimiter: str | None = None
    "What parts the cells; default: tab, comma, semicolon or space, whichever the file has."

    header: bool | None = None
    "Whether the first line names the columns; default: unless it is all numbers."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        if self.link_features and self.features_npy is None:
            raise ConfigError("--link-features: needed --features-npy FILE, the file to link")
        if self.link_features and self.normalize_features != "none":
            raise ConfigError(
                "--link-features leaves the features as they are: use it without "
                "--normalize-features, or leave it out to copy them"
            )
        if self.features and self.features_npy is not None:
            raise ConfigError("--features and --features-npy: choose one of the two")
        if self.vertices is None and (self.label or self.features or self.split_column or self.id):
            raise ConfigError(
                "--id, --label, --features and --split-column are columns of the vertex table: "
                "give it as --vertices FILE"
            )


@dataclass(frozen=True)
class VertexColumns:
    """Which columns of the vertex table are what, by position."""

    id: int
    label: tuple[int, ...]
    split: int | None
    features: tuple[int, ...]

    @property
    def all(self) -> list[int]:
        """Every column that is read."""
        split = () if self.split is None else (self.split,)
        return sorted({self.id, *self.label, *split, *self.features})


def is_whole(cell: str) -> bool:
    """Whether the text is a whole number, as `7` or `7.0`."""
    return is_number(cell) and float(cell).is_integer()


@dataclass
class Classes:
    """The labels that occur: integers, or names in sorted order."""

    texts: set[str] = field(default_factory=set)
    names: list[str] | None = None

    def close(self) -> None:
        """Decide, when all labels have been seen."""
        if not all(map(is_whole, self.texts)):
            self.names = sorted(self.texts)
            self.number = {name: i for i, name in enumerate(self.names)}

    def labels(self, texts: list[str]) -> np.ndarray:
        """int64 (k,): -1 where there is none."""
        known = self.number if self.names is not None else None
        return np.array(
            [-1 if t in NO_LABEL else known[t] if known else int(float(t)) for t in texts],
            np.int64,
        )


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
    edges = open_table(source, delimiter=options.delimiter, header=options.header)
    columns = edge_columns(edges, options)
    vertices, found = None, None
    if options.vertices is not None:
        vertices = open_table(options.vertices, delimiter=options.delimiter, header=options.header)
        found = vertex_columns(vertices, options)
    npy = None if options.features_npy is None else NpyFeatures(options.features_npy)
    ids = read_ids(edges, columns, vertices, found, npy)
    classes = read_classes(vertices, found)
    spec = make_spec(edges, options, ids, found, classes, npy)
    with write_graph(out, spec) as writer:
        for names in ids.names():
            writer.append_names(names)
        if npy is not None:
            npy.append(writer, options)
        if vertices is None or found is None:
            append_unlabelled(writer, options, with_features=npy is None)
        else:
            with shown(f"{spec.name}: vertices", vertices, show) as advance:
                append_vertices(writer, vertices, found, classes, options, npy is None, advance)
        with shown(f"{spec.name}: edges", edges, show) as advance:
            loops = append_edges(
                *(writer, lambda: read_edges(edges, columns, ids), options.arcs or "once"),
                *(options, str(edges.path), lambda _: advance()),
            )
    drawn = found is None or found.split is None or options.split is not None
    labelled = found is not None and bool(found.label)
    notes = (loops, split_note(options) if drawn and labelled else "", ignored(edges, columns))
    return report(Path(out), writer, *notes)


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


def edge_columns(edges: Table, options: EdgeListOptions) -> tuple[int, int, int | None]:
    """Positions of source, target and weight."""
    if len(edges.columns) < 2:
        raise DataError(
            f"{edges.path} has one column, {edges.columns[0]!r}: needed a source and a target. "
            f"Give the --delimiter"
        )
    source = find_column(edges, options.source, SOURCE_NAMES, "--source")
    target = find_column(edges, options.target, TARGET_NAMES, "--target")
    weight = find_column(edges, options.weight, (), "--weight")
    return (0 if source is None else source), (1 if target is None else target), weight


def ignored(edges: Table, columns: tuple) -> str:
    """What the report says of further columns of the edge list."""
    rest = [name for i, name in enumerate(edges.columns) if i not in columns]
    return f"columns of the edges not used: {', '.join(rest)}" if rest else ""


def vertex_columns(vertices: Table, options: EdgeListOptions) -> VertexColumns:
    """Which columns of the vertex table are what; raises DataError when one is missing."""
    own = find_column(vertices, options.id, ("id",), "--id") or 0
    split = find_column(vertices, options.split_column, ("split",), "--split-column")
    wanted: Sequence[str | None] = options.label or (None,)
    found = [find_column(vertices, name, ("label",), "--label") for name in wanted]
    label = tuple(column for column in found if column is not None)
    if options.features:
        chosen = [find_column(vertices, name, (), "--features") for name in options.features]
        features = tuple(column for column in chosen if column is not None)
    else:
        rest = range(len(vertices.columns))
        features = tuple(c for c in rest if c not in (own, split, *label))
    return VertexColumns(own, label, split, () if options.features_npy is not None else features)


def read_ids(
    edges: Table, columns: tuple, vertices: Table | None, found: VertexColumns | None, npy
) -> Ids:
    """The vertices: of the vertex table, else the rows of the features, else of the edges."""
    if vertices is not None and found is not None:
        ids = ids_of_table(vertices, found.id)
        if npy is not None and npy.shape[0] != ids.num_vertices:
            raise DataError(
                f"{npy.path} has {npy.shape[0]:,} rows, {vertices.path} has {ids.num_vertices:,} "
                f"vertices; needed one row of features for each vertex, in the same order"
            )
        return ids
    return RowIds(npy.shape[0]) if npy is not None else ids_of_edges(edges, columns[:2])


def read_classes(vertices: Table | None, found: VertexColumns | None) -> Classes:
    """The classes that occur in a single label column."""
    classes = Classes()
    if vertices is not None and found is not None and len(found.label) == 1:
        for chunk in vertices.chunks(list(found.label)):
            classes.texts.update(chunk.text(found.label[0]))
        classes.texts.difference_update(NO_LABEL)
        classes.close()
    return classes


def make_spec(
    edges: Table, options: EdgeListOptions, ids: Ids, found: VertexColumns | None, classes, npy
) -> GraphSpec:
    """What the options and tables say of the graph."""
    multilabel = found is not None and len(found.label) > 1
    width = len(found.features) if found is not None else 0
    num_classes = options.classes if classes.names is None else len(classes.names)
    return GraphSpec(
        name=options.name or edges.path.name.split(".")[0],
        licence=options.licence,
        num_vertices=ids.num_vertices,
        directed=options.arcs == "directed",
        num_features=width if npy is None else npy.shape[1],
        feature_dtype=npy.dtype.type if options.link_features else options.dtype,
        raw_features=npy.raw() if options.link_features else None,
        task=MULTILABEL if multilabel else MULTICLASS,
        num_classes=len(found.label) if multilabel and found is not None else num_classes,
        weighted=options.weight is not None,
        name_dtype=ids.name_dtype,
        class_names=classes.names,
    )


def append_unlabelled(
    writer: GraphStoreWriter, options: EdgeListOptions, *, with_features: bool
) -> None:
    """Vertices of which nothing but their edges is known."""
    for first in range(0, writer.spec.num_vertices, ROW_CHUNK):
        labels = np.full(min(ROW_CHUNK, writer.spec.num_vertices - first), -1, np.int32)
        writer.append_labels(labels)
        writer.append_split(np.full(len(labels), NONE, np.uint8))
        if with_features:
            writer.append_features(np.empty((len(labels), 0), np.float32))


def append_vertices(
    writer: GraphStoreWriter,
    vertices: Table,
    found: VertexColumns,
    classes: Classes,
    options: EdgeListOptions,
    with_features: bool,
    advance: Callable[[], None],
) -> None:
    """Features, labels and split of the vertex table."""
    first = 0
    for chunk in vertices.chunks(found.all):
        origin = Origin(str(vertices.path), chunk.first_row)
        if with_features:
            values = chunk.numbers(found.features)
            writer.append_features(prepare_features(values, options, origin))
        labels = read_labels(chunk, found, classes, writer.spec, origin)
        writer.append_labels(labels)
        if found.split is None or options.split is not None:
            append_random_split(writer, options, first, labels)
        else:
            writer.append_split(read_split(chunk, found.split, vertices))
        first += len(chunk)
        advance()


def read_labels(
    chunk: Chunk, found: VertexColumns, classes: Classes, spec: GraphSpec, origin: Origin
) -> np.ndarray:
    """int32 (k,), or uint8 (k, C) of a multi-label task."""
    if spec.task == MULTILABEL:
        return check_multilabel(chunk.numbers(found.label), origin)
    if not found.label:
        return np.full(len(chunk), -1, np.int32)
    return check_labels(classes.labels(chunk.text(found.label[0])), spec.num_classes, origin)


def read_split(chunk: Chunk, column: int, vertices: Table) -> np.ndarray:
    """uint8 (k,) from the words of a split column."""
    words = [word.lower() for word in chunk.text(column)]
    for row, word in enumerate(words):
        if word not in PARTS:
            raise DataError(
                f"{vertices.path}, row {chunk.first_row + row:,}, column "
                f"{vertices.columns[column]}: {word!r} is no part of a split: needed train, val, "
                f"test or none"
            )
    return np.array([PARTS[word] for word in words], np.uint8)


def read_edges(edges: Table, columns: tuple[int, int, int | None], ids: Ids) -> Iterator[EdgeChunk]:
    """(source, target, weight or None) by rows, checked."""
    source, target, weight_column = columns
    wanted = [source, target] if weight_column is None else [source, target, weight_column]
    for chunk in edges.chunks(wanted):
        weight = None
        if weight_column is not None:
            with np.errstate(over="ignore"):
                weight = chunk.numbers([weight_column])[:, 0].astype(np.float32)
            check_finite(weight, Origin(str(edges.path), chunk.first_row), "weight")
        yield ids.rows(chunk, source, edges), ids.rows(chunk, target, edges), weight


class NpyFeatures:
    """Features in one .npy file, (N, D)."""

    def __init__(self, path: Path):
        """Read the header; raises DataError unless it is a matrix of numbers by rows."""
        if not path.is_file():
            raise DataError(f"{path} does not exist: needed an .npy file of features")
        self.path = path
        with path.open("rb") as file:
            self.shape, fortran, self.dtype = read_npy_header(file, str(path))
            self.offset_bytes = file.tell()
        if len(self.shape) != 2 or self.dtype.kind not in "fiu" or 0 in self.shape:
            raise DataError(
                f"{path}: {self.dtype} {self.shape}, needed numbers (vertices, features)"
            )
        if fortran:
            raise DataError(
                f"{path} is stored by columns (Fortran order). Save it again with "
                f"np.save(FILE, np.ascontiguousarray(x))"
            )
        found, needed = path.stat().st_size, self.offset_bytes + self.num_bytes
        if found < needed:
            raise DataError(f"{path} is truncated: {found:,} bytes, needed {needed:,}")

    @property
    def num_bytes(self) -> int:
        """Bytes of the matrix."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def raw(self) -> RawFeatures:
        """The matrix as it can be linked; raises DataError when its dtype cannot."""
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float16)):
            raise DataError(
                f"{self.path} is {self.dtype.str}: only native float32 or float16 can be linked. "
                f"Leave out --link-features to convert a copy"
            )
        return RawFeatures(self.path, self.offset_bytes)

    def append(self, writer: GraphStoreWriter, options: EdgeListOptions) -> None:
        """Check all rows, and copy them unless they are linked."""
        step = max(FEATURE_CHUNK_BYTES // (4 * self.shape[1]), 1)
        with self.path.open("rb") as file:
            file.seek(self.offset_bytes)
            for first in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - first)
                raw = file.read(count * self.shape[1] * self.dtype.itemsize)
                rows = np.frombuffer(raw, self.dtype).reshape(count, self.shape[1])
                origin = Origin(str(self.path), first)
                if options.link_features:
                    check_finite(rows, origin)
                else:
                    writer.append_features(prepare_features(rows, options, origin))
