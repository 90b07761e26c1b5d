"""Random graphs written to a graph store, in bounded memory: `batchgnn data generate`.

Everything is drawn by key (DESIGN section 4): the same options and seed give the same file, however
it is cut into chunks and with any number of threads. (The last digit of a feature, and on rare
occasion an end of an edge, may differ between machines whose C libraries differ in `log` or `pow`.)
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.base.progress import progress
from batchgnn.base.rng import Purpose
from batchgnn.data.split import check_fractions, random_split
from batchgnn.kernels.generate import class_features, fill_normal
from batchgnn.kernels.rng import stream_key
from batchgnn.store.graph_writer import GraphSpec, GraphStoreWriter, write_graph

CHUNK_ITEMS = 1 << 20
"Edges, or a fraction of the feature values, that are held at a time; memory is a few times 8 MiB."

MAX_VERTICES = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What every kind of random graph has."""

    vertices: int = 10_000
    "Number of vertices."

    degree: float = 10.0
    "Mean number of neighbours of a vertex."

    features: int = 64
    "Columns of the features."

    classes: int = 10
    "Number of classes."

    noise: float = 1.0
    "Standard deviation of each feature around its class's centre; the centres have norm 1."

    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    "Shares of train, validation and test among the vertices, drawn at random."

    seed: int = 0
    "Seed of everything that is drawn; the same seed gives the same file."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        check_fractions(self.split)
        needs = (
            (2 <= self.vertices <= MAX_VERTICES, "--vertices", f"2 to {MAX_VERTICES:,}"),
            (0 <= self.degree <= self.vertices - 1, "--degree", "0 to vertices - 1"),
            (self.features >= 0, "--features", "0 or more"),
            (1 <= self.classes <= self.vertices, "--classes", "1 to vertices"),
            (np.isfinite(self.noise) and self.noise >= 0, "--noise", "0 or more"),
            (0 <= self.seed < 2**63, "--seed", "0 to 2^63 - 1"),
        )
        for good, option, wanted in needs:
            if not good:
                found = getattr(self, option.removeprefix("--"))
                raise ConfigError(f"{option} {found}: needed {wanted}")

    def key(self, what: int) -> np.uint64:
        """The stream of one use of randomness in a generator."""
        return np.uint64(stream_key(self.seed, Purpose.GENERATE, 0, 0, what))


CENTRES, NOISE, SCATTER, EDGES, OWNERS = range(5)
"Uses of randomness, for `GraphOptions.key`."


class RandomGraph(Protocol):
    """A kind of random graph: what `generate` needs of it."""

    directed: bool
    num_edges: int
    "Expected; for the progress shown."

    def labels(self, first: int, last: int) -> np.ndarray:
        """int32 (last - first,): classes of the vertices first .. last - 1."""

    def edges(self, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(source, target) in parts of about `chunk` edges."""


def generate(
    graph: RandomGraph,
    options: GraphOptions,
    out: str | os.PathLike,
    *,
    name: str,
    chunk: int = CHUNK_ITEMS,
    show: bool = True,
) -> Path:
    """Write `graph` with features, labels and split to the graph store `out`.

    Raises StoreError when `out` exists or the disk is full.
    """
    spec = GraphSpec(
        name=name,
        licence="generated",
        num_vertices=options.vertices,
        directed=graph.directed,
        num_features=options.features,
        num_classes=options.classes,
    )
    with write_graph(out, spec) as writer:
        with progress(f"{name}: vertices", options.vertices, "vertices", show=show) as bar:
            _write_vertices(writer, graph, options, chunk, bar.advance)
        with progress(f"{name}: edges", graph.num_edges, "edges", show=show) as bar:
            for source, target in graph.edges(chunk):
                writer.append_edges(source, target)
                bar.advance(len(source))
    return Path(out)


def _write_vertices(
    writer: GraphStoreWriter,
    graph: RandomGraph,
    options: GraphOptions,
    chunk: int,
    advance: Callable[[int], None],
) -> None:
    n, width = options.vertices, options.features
    centre = np.empty((options.classes, width), np.float32)
    fill_normal(options.key(CENTRES), 0, centre)
    centre /= np.float32(np.sqrt(max(width, 1)))
    step = max(8 * chunk // max(width, 1), 1)
    rows = np.empty((min(step, n), width), np.float32)
    for first in range(0, n, step):
        last = min(first + step, n)
        labels, part = graph.labels(first, last), rows[: last - first]
        class_features(options.key(NOISE), first, labels, centre, np.float32(options.noise), part)
        writer.append_features(part)
        writer.append_labels(labels)
        writer.append_split(random_split(options.seed, n, options.split, first, labels))
        advance(last - first)
