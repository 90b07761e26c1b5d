"""A graph whose edges are split for link prediction, and what is held out of its shards.

The graph that is cut, and the topology of the shards, have the edges of training alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
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
    splits_edges: bool = False

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
        self.read_event, self.read_edge_split = graph.read_event, graph.read_edge_split
        if links.is_given:
            self._require_one_part()
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

    def _parts(self, chunk: int = EDGE_CHUNK) -> Iterator[tuple[Edges, np.ndarray]]:
        first = 0
        for edges in self._graph.iter_edges(chunk):
            source, target = edges[0].astype(np.int64), edges[1].astype(np.int64)
            if self._split.is_given:
                part = self.read_edge_split(slice(first, first + len(source))).astype(np.int64) - 1
                first += len(source)
            else:
                part = self._split.part(source, target)
            yield edges, np.where(source == target, 0, part)

    def _require_one_part(self) -> None:
        """Raise DataError where a pair is held out and of another part too, by another edge."""
        for here in (1, 2):
            held = np.sort(np.concatenate([self._pairs(e, p == here) for e, p in self._parts()]))
            for edges, part in self._parts():
                others = self._pairs(edges, part != here)
                twice = np.isin(others, held)
                if twice.any():
                    u, v = divmod(int(others[np.argmax(twice)]), self.num_vertices)
                    raise DataError(
                        f"{self.name}: an edge between {u} and {v} (vertices by row) is of "
                        f"{list(HELD_OUT)[here - 1]}, and another of another part, whose messages "
                        "would tell of it: give all edges of a pair, of both directions, one part."
                    )

    def _pairs(self, edges: Edges, chosen: np.ndarray) -> np.ndarray:
        """int64: unordered pairs of some edges, as numbers."""
        ends = np.sort(np.stack([each[chosen].astype(np.int64) for each in edges[:2]]), axis=0)
        return ends[0] * self.num_vertices + ends[1]


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


def given_split(graph: GraphSource, seed: int) -> LinkSpec | None:
    """The split that a graph's edges say themselves; None where they say none. Raises DataError.

    seed: of the negatives in scores
    """
    if not graph.splits_edges:
        return None
    counts = np.zeros(4, np.int64)
    for begin in range(0, graph.num_edges, EDGE_CHUNK):
        rows = slice(begin, min(begin + EDGE_CHUNK, graph.num_edges))
        counts += np.bincount(graph.read_edge_split(rows), minlength=4)
    if not counts[1]:
        raise DataError(f"{graph.name}: no edge is of training (edge/split): needed some.")
    train, val, test = (counts[1:] / counts[1:].sum()).tolist()
    return LinkSpec(train, val, test, seed=seed, is_given=True)
