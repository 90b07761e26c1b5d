"""What all converters share: their options, edges of either convention, features, and a report.

A converter reads its input in chunks and hands them to these functions, which check and append them
to a graph store; memory does not grow with the number of edges.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.checks import FILL, Origin, check_finite
from batchgnn.data.double_edges import settle_double_edges
from batchgnn.data.labels import MAX_LABEL, refuse_many
from batchgnn.data.split import check_fractions, random_split
from batchgnn.kernels.pairs import add_pair_sums, pair_buckets
from batchgnn.store.graph_writer import TEST, TRAIN, VALIDATION, GraphSpec, GraphStoreWriter
from batchgnn.store.labels import MULTICLASS, REGRESSION
from batchgnn.store.seeds import SPLITS
from batchgnn.store.taken import Record, Tally, lines_of

Arcs = Literal["directed", "once", "both"]
EdgeChunk = (
    tuple[np.ndarray, np.ndarray, np.ndarray | None]
    | tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]
)
"""Sources, targets, weights or None, and parts of a split of the edges, where there is one."""

EDGE_CHUNK = 1 << 20
FEATURE_CHUNK_BYTES = 8 << 20
NUM_BUCKETS = 1 << 16
SYMMETRY_KEY = np.uint64(0x5EED)
DEFAULT_SPLIT = (0.6, 0.2, 0.2)
MEANING = {
    "directed": "arcs, source to target",
    "once": "undirected, each listed once",
    "both": "undirected, listed in both directions",
}
NO_WEIGHT = np.empty(0, np.uint32)
SPLIT_BITS = np.uint32(0x9E3779B1)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of every converter."""

    arcs: Arcs | None = None
    """How the input lists edges: `directed` (each is an arc), undirected and listed `once`, or
    undirected with `both` directions listed (checked, then stored once). Default: what the
    input says, else as the format has it."""

    self_loops: Literal["drop", "keep"] = "drop"
    """What becomes of edges from a vertex to itself; the number is printed. GCN, which gives every
    vertex such a loop, takes one that is kept in its place, with its weight, as PyG does."""

    double_edges: Literal["keep", "drop", "sum"] = "keep"
    """What becomes of edges that are listed again: `keep` each as an edge of its own, `drop` all
    but the first, or `sum` their weights (without weights: their number becomes the weight). How
    many there are is printed."""

    normalize_features: Literal["none", "row"] = "none"
    "`row` divides each row of features by its sum, where that is above 1, as PyG does."

    feature_dtype: Literal["float32", "float16"] = "float32"
    "Precision of dense features in the store."

    standardize: bool = False
    """Dense features to mean 0 and deviation 1 (of the population), column by column, both of the
    training vertices of the first split; a column that is constant there is 0."""

    fill: Literal["mean"] | float | None = None
    """What missing dense features (NaN, an empty cell, NA) become: a number, or the mean of their
    column over the training vertices of the first split. Default: they are refused."""

    split: tuple[float, float, float] | None = None
    """Shares of train, validation and test for a random split, instead of the input's own; where
    the input has none: 0.6 0.2 0.2."""

    seed: int = 0
    "Seed of the random split."

    task: Literal["multiclass", "multilabel", "regression"] | None = None
    """What the labels are: one class for each vertex, several of them (0 or 1 in each column), or
    a number to predict (-1 is one too; NaN or nothing: none). Default: several columns are
    multilabel, whole numbers and names are classes."""

    classes: int | None = None
    "Number of classes; default: one more than the largest label."

    name: str | None = None
    "Name of the graph; default: the name of the input."

    licence: str = ""
    "Licence of the data, kept in the store."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        if self.split is not None:
            check_fractions(self.split)
        if self.standardize and self.normalize_features != "none":
            raise ConfigError("--standardize and --normalize-features row: choose one of the two")
        if isinstance(self.fill, float | int) and not np.isfinite(self.fill):
            raise ConfigError(f"--fill {self.fill}: needed a finite number, or mean")
        if self.classes is not None and self.classes < 1:
            raise ConfigError(f"--classes {self.classes}: needed at least 1")
        if self.classes is not None and self.classes > MAX_LABEL + 1:
            raise ConfigError(f"--classes {self.classes}: needed at most {MAX_LABEL + 1:,}")
        if self.classes is not None and self.task == REGRESSION:
            raise ConfigError(f"--classes {self.classes}: --task regression has none, leave it out")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"--seed {self.seed}: needed 0 to 2^63 - 1")

    @property
    def dtype(self) -> type:
        """`feature_dtype` as numpy's."""
        return np.float16 if self.feature_dtype == "float16" else np.float32


@dataclass(frozen=True)
class Report:
    """What a converter did, for the user."""

    path: Path
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """One line for each thing to know."""
        return "\n".join((f"{self.path}:", *(f"  {line}" for line in self.lines)))


def report(
    path: str | os.PathLike, writer: GraphStoreWriter, taken: Record, options: ConvertOptions
) -> Report:
    """The report of a graph store whose rows are all appended; the store will keep it too.

    taken  what was taken as what; empty values are left out
    Raises DataError when the classes look as if they were numbers, and nothing was said of them.
    """
    spec, tally = writer.spec, writer.tally
    if spec.num_vertices == 0:
        raise DataError(f"{spec.name} has no vertices, needed some: is this the right file?")
    if spec.task == MULTICLASS and options.task is None and options.classes is None:
        num_labelled = spec.num_vertices - tally.num_unlabelled
        refuse_many(spec.name, writer.num_classes, len(tally.by_class), num_labelled)
    kind = "directed" if spec.directed else "undirected"
    is_number = spec.task == REGRESSION
    labels = "labels are numbers" if is_number else f"{writer.num_classes:,} classes"
    counts = (
        f"{spec.num_vertices:,} vertices, {writer.num_edges:,} {kind} edges, "
        f"{spec.num_features:,} features, {labels}"
    )
    said = {key: value for key, value in taken.items() if value not in ("", [], {})}
    writer.taken = said | writer.tally.record(spec.class_names)
    lines = (f"{key}: {value}" for key, value in lines_of(writer.taken))
    return Report(Path(path), (counts, *lines, *warnings(writer)))


def warnings(writer: GraphStoreWriter) -> Iterator[str]:
    """What the user will stumble over later: said now, as it is known now."""
    spec, tally = writer.spec, writer.tally
    if writer.num_edges == 0:
        yield "warning: there are no edges"
    if spec.num_features == 0:
        yield "warning: no vertex has features: train with --inputs degree, constant or embedding"
    if not spec.splits_edges:
        yield from _without_seeds(spec, tally)
    if tally.num_weights_not_positive:
        yield "warning: --model gcn needs weights above 0"


def _without_seeds(spec: GraphSpec, tally: Tally) -> Iterator[str]:
    """Where no vertex can be trained on."""
    if tally.num_unlabelled == spec.num_vertices:
        yield "warning: no vertex has a label: links alone can be trained (partition --links)"
    elif tally.by_part is not None and not tally.by_part[:, SPLITS["train"]].all():
        yield "warning: there is no training vertex: links alone can be trained (partition --links)"


def append_edges(
    writer: GraphStoreWriter,
    edges: Callable[[], Iterator[EdgeChunk]],
    arcs: Arcs,
    options: ConvertOptions,
    file: str,
    advance: Callable[[int], None] = lambda _: None,
) -> Record:
    """Append all edges in the convention of the store; returns what to say of them.

    edges  called for a fresh iterator over int64, float32 and uint8 arrays; a second time only when
           an undirected graph turns out to lack an arc

    `both` keeps the arcs u -> v with u < v and raises DataError, naming one, when arcs and
    reverse arcs are not the same.
    """
    if writer.spec.splits_edges and options.double_edges != "keep":
        raise ConfigError(
            f"--double-edges {options.double_edges}: these edges say which part of a split they "
            "are of, and copies may differ in it. Leave it out"
        )
    sums = np.zeros((2, NUM_BUCKETS), np.uint64)
    loops = 0
    for source, target, weight, *more in edges():
        split = more[0] if more else None
        kept = source <= target if arcs == "both" else np.ones(len(source), bool)
        is_loop = source == target
        loops += int(np.count_nonzero(is_loop))
        if options.self_loops == "drop":
            kept &= ~is_loop
        if arcs != "directed":
            add_pair_sums(SYMMETRY_KEY, source, target, bits_of(weight, split), sums)
        if weight is None and writer.spec.weighted:
            weight = np.ones(len(source), np.float32)
        beside = (None if each is None else each[kept] for each in (weight, split))
        writer.append_edges(source[kept], target[kept], *beside)
        advance(len(source))
    unequal = np.flatnonzero(sums[0] != sums[1])
    if arcs == "once" and options.arcs is None and sums.any() and not len(unequal):
        raise DataError(
            f"{file}: every edge is listed in both directions. Say so: --arcs both; or, if these "
            f"are double edges, --arcs once"
        )
    if arcs == "both" and len(unequal):
        raise asymmetry(edges(), int(unequal[0]), file)
    done = "dropped" if options.self_loops == "drop" else "kept"
    return {
        "edges taken as": MEANING[arcs],
        "self-loops": f"{loops:,} self-loops {done}" if loops else "none",
        "double edges": settle_double_edges(writer, options.double_edges),
    }


def bits_of(weight: np.ndarray | None, split: np.ndarray | None = None) -> np.ndarray:
    """uint32: the bits of float32 weights (-0 as 0), mixed with those of a part of the edges.

    Empty when there are neither.
    """
    bits = NO_WEIGHT if weight is None else (weight + np.float32(0)).view(np.uint32)
    if split is None:
        return bits
    mixed = split.astype(np.uint32) * SPLIT_BITS
    return mixed if weight is None else bits ^ mixed


def asymmetry(edges: Iterator[EdgeChunk], bucket: int, file: str) -> DataError:
    """The error that names an arc of `bucket` that lacks its reverse."""
    excess: Counter = Counter()
    for source, target, weight, *more in edges:
        place, bits = np.empty(len(source), np.int64), bits_of(weight, *more)
        pair_buckets(SYMMETRY_KEY, source, target, bits, NUM_BUCKETS, place)
        for e in np.flatnonzero(place == bucket):
            u, v = int(source[e]), int(target[e])
            w = None if weight is None else float(weight[e])
            part = int(more[0][e]) if more else 0
            excess[min(u, v), max(u, v), w, part] += 1 if u < v else -1
    (low, high, w, part), count = next((pair, count) for pair, count in excess.items() if count)
    u, v = (low, high) if count > 0 else (high, low)
    with_weight = "" if w is None else f" of the same weight {w:g}"
    with_weight += f" of the same part ({part} of 1 train, 2 val, 3 test)" if part else ""
    return DataError(
        f"{file}: the edge {u} -> {v} has no reverse {v} -> {u}{with_weight} (vertices by row), so "
        f"this is no undirected graph with both directions listed. Say what it is: "
        f"--arcs directed, or --arcs once"
    )


def prepare_features(rows: np.ndarray, options: ConvertOptions, origin: Origin) -> np.ndarray:
    """(k, D) in the store's dtype from numbers (k, D): checked and normalised."""
    if options.normalize_features == "row":
        check_finite(rows, origin)
        rows = rows.astype(np.float32)
        sums = rows.sum(axis=1, dtype=np.float64)
        check_not_negative(rows.min(axis=1, initial=0.0), origin)
        rows = rows / np.maximum(sums, 1.0)[:, None]
    with np.errstate(over="ignore"):
        rows = rows.astype(options.dtype, copy=False)
    check_finite(rows, origin, remedy=FILL)
    return rows


def prepare_sparse(
    counts: np.ndarray, data: np.ndarray | None, options: ConvertOptions, origin: Origin
) -> np.ndarray | None:
    """float32 (nnz,) values of sparse rows, checked and normalised; None stands for all ones."""
    if data is not None:
        with np.errstate(over="ignore"):
            data = data.astype(np.float32)
        rows = np.repeat(np.arange(len(counts)), counts)
        good = np.isfinite(data)
        if not good.all():
            check_finite(
                np.where(np.bincount(rows[~good], minlength=len(counts)), np.nan, 0), origin
            )
    if options.normalize_features == "none":
        return data
    if data is None:
        data = np.ones(int(counts.sum()), np.float32)
    row = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(row, weights=data, minlength=len(counts))
    check_not_negative(-np.bincount(row, weights=data < 0, minlength=len(counts)), origin)
    return (data / np.maximum(sums, 1.0)[row]).astype(np.float32)


def check_not_negative(lowest: np.ndarray, origin: Origin) -> None:
    """Raise DataError when a row has a value below 0: its sum says nothing about its size."""
    if len(lowest) and lowest.min() < 0:
        raise DataError(
            f"{origin.at(int(np.argmax(lowest < 0)))}: a negative feature cannot be normalised by "
            f"its row's sum. Use --normalize-features none"
        )


def split_of_masks(masks: list[np.ndarray], origin: Origin) -> np.ndarray:
    """uint8, shaped as one mask: 1 train, 2 validation, 3 test, 0 none; from three masks."""
    flat = [mask.reshape(len(mask), -1).astype(np.uint8) for mask in masks]
    twice = ((flat[0] + flat[1] + flat[2]) > 1).any(axis=1)
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(f"{origin.at(row)}: the vertex is in two of train, validation and test")
    parts = (TRAIN, VALIDATION, TEST)
    return sum(
        (part * mask.astype(np.uint8) for part, mask in zip(parts, masks, strict=True)),
        start=np.zeros(masks[0].shape, np.uint8),
    )


def append_random_split(
    writer: GraphStoreWriter, options: ConvertOptions, first: int, labels: np.ndarray
) -> None:
    """Append the rows' random split: `--split`, or the default shares."""
    shares = options.split or DEFAULT_SPLIT
    writer.append_split(random_split(options.seed, writer.spec.num_vertices, shares, first, labels))


def split_note(options: ConvertOptions) -> str:
    """What the report says of a random split."""
    shares = " ".join(f"{share:g}" for share in options.split or DEFAULT_SPLIT)
    return f"random split {shares} (train, validation, test), seed {options.seed}"
