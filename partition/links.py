"""A graph whose edges are split for link prediction, and what is held out of its shards.

The graph that is cut, and the topology of the shards, have the edges of training alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.partition.source import Edges, GraphSource
from batchgnn.partition.spill import Spill, csr_of
from batchgnn.store.events import EventSpec
from batchgnn.store.labels import LINKS
from batchgnn.store.links import HELD_OUT, LinkSpec, link_seeds
from batchgnn.store.schema import Schema
from batchgnn.store.shard_writer import Draft

EDGE_CHUNK = 1 << 20
MOST_VERTICES = 3 * 10**9
"So that a pair of vertices is one number of 63 bits."


class SplitGraph:
    """A `GraphSource` that has the training edges of another, and no labels."""

    task: str = LINKS
    num_classes: int = 0
    num_splits: int = 1

    def __init__(self, graph: GraphSource, links: LinkSpec):
        """Reads all edges once, to count those of training. Raises ConfigError."""
        if graph.events is not None:
            raise ConfigError(
                f"--links: {graph.name} is a stream of events, which is split by time when it is "
                "converted: leave --links out, batchgnn data convert events --help."
            )
        if graph.num_vertices > MOST_VERTICES:
            raise ConfigError(f"--links: needed at most {MOST_VERTICES:,} vertices.")
        self._graph, self._split = graph, links
        self.links: LinkSpec | None = links
        self.events: EventSpec | None = None
        self.class_names: Sequence[str] | None = None
        self.event_columns = graph.event_columns
        self.name, self.directed, self.weighted = graph.name, graph.directed, graph.weighted
        self.num_vertices, self.num_features = graph.num_vertices, graph.num_features
        self.feature_dtype, self.id_dtype = graph.feature_dtype, graph.id_dtype
        self.read_features, self.read_names = graph.read_features, graph.read_names
        self.read_event = graph.read_event
        self.num_edges = sum(len(source) for source, _, _ in self.iter_edges(EDGE_CHUNK))

    def read_labels(self, rows: slice = slice(None)) -> np.ndarray:
        """uint8 (len(rows), 0): there are none."""
        return np.zeros((len(range(*rows.indices(self.num_vertices))), 0), np.uint8)

    def read_split(self, rows: slice = slice(None)) -> np.ndarray:
        """uint8 (len(rows), 1): vertices are not split."""
        return np.zeros((len(range(*rows.indices(self.num_vertices))), 1), np.uint8)

    def iter_edges(self, chunk: int = EDGE_CHUNK) -> Iterator[Edges]:
        """(source, target, weight or None) of training's edges, and of all loops."""
        for (source, target, weight), part in self._parts(chunk):
            kept = part == 0
            yield source[kept], target[kept], None if weight is None else weight[kept]

    def held_out(self, chunk: int = EDGE_CHUNK) -> Iterator[Sequence[tuple[np.ndarray, ...]]]:
        """(source, target) of validation's, then of test's edges."""
        for (source, target, _), part in self._parts(chunk):
            yield [(source[part == p], target[part == p]) for p in (1, 2)]

    def _parts(self, chunk: int) -> Iterator[tuple[Edges, np.ndarray]]:
        for edges in self._graph.iter_edges(chunk):
            source, target = edges[0].astype(np.int64), edges[1].astype(np.int64)
            part = self._split.part(source, target)
            yield edges, np.where(source == target, 0, part)


@dataclass(frozen=True)
class HeldOut:
    """Held-out arcs on their way to the shards of their sources; none where edges are not split."""

    spills: list[Spill]

    def of_shard(self, s: int) -> list[np.ndarray]:
        """Ids (m, 2) of validation and of test, each arc once, ascending; they are taken away."""
        return [_distinct(spill, s) for spill in self.spills]


def bucket_held_out(graph: GraphSource, spills: list[Spill], new_id: np.ndarray) -> HeldOut:
    """Fill empty spills, of validation and of test; new_id: of each row of the graph store."""
    if not isinstance(graph, SplitGraph):
        return HeldOut([])
    for parts in graph.held_out():
        for spill, (source, target) in zip(spills, parts, strict=True):
            u, v = new_id[source], new_id[target]
            spill.add(u, v, None)
            if not graph.directed:
                spill.add(v, u, None)
    return HeldOut(spills)


def _distinct(spill: Spill, s: int) -> np.ndarray:
    first, end = spill.offset[s : s + 2]
    indptr, target, _ = csr_of(spill, s, int(end - first), int(spill.offset[-1]))
    source = np.repeat(np.arange(first, end, dtype=target.dtype), np.diff(indptr))
    arcs = np.stack([source, target], axis=1)
    is_new = np.ones(len(arcs), bool)
    is_new[1:] = (arcs[1:] != arcs[:-1]).any(axis=1)
    return arcs[is_new]


def write_held_out(draft: Draft, held_out: Sequence[np.ndarray]) -> None:
    """Fill a shard's datasets of validation and test."""
    for name, arcs in zip(HELD_OUT.values(), held_out, strict=False):
        draft.open(name)[:] = arcs


def count_link_seeds(draft: Draft, first_vertex: int, schema: Schema) -> int:
    """Edges of a shard, whose topology is there, that are trained on."""
    side = "out" if schema.directed else "in"
    arcs = draft.open(f"{side}/indptr"), draft.open(f"{side}/indices")
    seeds = link_seeds(
        *arcs, first_vertex, num_vertices=schema.num_vertices, directed=schema.directed
    )
    return sum(len(each) for each in seeds)
