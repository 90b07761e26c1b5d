"""Small graphs as a user has them, and a graph store compared with what it was made from."""

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from batchgnn.store.graph_store import GraphStore

PARTS = ("none", "train", "val", "test")
NAMES = ("ann", "bob", "zoë", "eve", "Ωmega", "x1", "1x", "naïve", "a-b", "q.7", "ümlaut", "ŋ")


@dataclass
class Graph:
    """What an input says.

    names     a text for each vertex
    edges     (source, target) rows, self-loops left out
    weights   one for each edge, or None
    features  (vertices, features): exact in float32
    labels    of each vertex: a class, a name, a number, or None
    parts     of each vertex, as `PARTS`
    task      multiclass or regression
    """

    names: list[str]
    edges: list[tuple[int, int]]
    weights: list[float] | None
    features: np.ndarray
    labels: list
    parts: list[str]
    task: str
    directed: bool
    order_is_kept: bool = field(default=True)

    @property
    def num_vertices(self) -> int:
        return len(self.names)


def any_graph(rng: random.Random, *, numbered: bool = False) -> Graph:
    """A graph of up to a dozen vertices; numbered: its vertices are called 0, 1, 2, ..."""
    n = rng.randint(3, 12)
    task = rng.choice(["multiclass", "multiclass", "named", "regression"])
    pairs = [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randint(1, 25))]
    edges = [(u, v) for u, v in pairs if u != v] or [(0, 1)]
    weights = [rng.randint(1, 64) / 8 for _ in edges] if rng.random() < 0.4 else None
    width = rng.randint(1, 4)
    features = np.array([[rng.randint(-99, 99) / 4 for _ in range(width)] for _ in range(n)])
    return Graph(
        names=[str(v) for v in range(n)] if numbered else _names(rng, n),
        edges=edges,
        weights=weights,
        features=features.astype(np.float32),
        labels=[_label(rng, task) for _ in range(n)],
        parts=[rng.choice(PARTS) for _ in range(n)],
        task="regression" if task == "regression" else "multiclass",
        directed=rng.random() < 0.5,
    )


def _names(rng: random.Random, n: int) -> list[str]:
    kind = rng.choice(["rows", "numbers", "huge", "texts"])
    if kind == "texts":
        return rng.sample(NAMES, n)
    most = {"rows": n, "numbers": 10**6, "huge": 2**63}[kind]
    if kind == "rows":
        return [str(v) for v in range(n)]
    return (
        [str(v) for v in rng.sample(range(most), n)]
        if kind == "numbers"
        else [str(most - 1 - v) for v in rng.sample(range(1000), n)]
    )


def _label(rng: random.Random, task: str) -> object:
    if rng.random() < 0.2:
        return None
    if task == "regression":
        return rng.randint(-80, 80) / 8
    number = rng.randrange(4)
    return f"class {'abcd'[number]}" if task == "named" else number


def difference(path: Path, graph: Graph) -> str:
    """What a graph store has that the graph has not, or the other way; empty when they agree."""
    store = GraphStore(path)
    if store.num_vertices != graph.num_vertices:
        return f"{store.num_vertices} vertices of {graph.num_vertices}"
    names = store.read_names()
    found = [str(v) for v in range(store.num_vertices)] if names is None else _texts(names)
    if sorted(found) != sorted(graph.names):
        return f"vertices {found}, not {graph.names}"
    row = {name: v for v, name in enumerate(found)}
    rows = [row[name] for name in graph.names]
    checks = (_edges(store, graph, rows), _values(store, graph, rows))
    return next(filter(None, checks), "")


def _texts(names: np.ndarray) -> list[str]:
    return [x.decode() if isinstance(x, bytes) else str(x) for x in names.tolist()]


def _edges(store: GraphStore, graph: Graph, rows: list[int]) -> str:
    if store.directed != graph.directed:
        return f"directed is {store.directed}"
    if store.weighted != (graph.weights is not None):
        return f"weighted is {store.weighted}"
    weights = graph.weights or [1.0] * len(graph.edges)
    needed = [(rows[u], rows[v], w) for (u, v), w in zip(graph.edges, weights, strict=True)]
    found = []
    for source, target, weight in store.iter_edges():
        weight = np.ones(len(source)) if weight is None else weight
        found += zip(source.tolist(), target.tolist(), weight.tolist(), strict=True)
    if not graph.directed:
        needed, found = ([(*sorted(e[:2]), e[2]) for e in each] for each in (needed, found))
    return "" if sorted(needed) == sorted(found) else f"edges {sorted(found)}, not {sorted(needed)}"


def _values(store: GraphStore, graph: Graph, rows: list[int]) -> str:
    features = store.read_features()[rows]
    if features.shape != graph.features.shape or (features != graph.features).any():
        return f"features {features.tolist()}, not {graph.features.tolist()}"
    if store.task != graph.task:
        return f"task {store.task}, not {graph.task}"
    labels = [_label_of(store, value) for value in store.read_labels()[rows].tolist()]
    if labels != graph.labels:
        return f"labels {labels}, not {graph.labels}"
    parts = [PARTS[value] for value in store.read_split()[rows, 0].tolist()]
    return "" if parts == graph.parts else f"parts {parts}, not {graph.parts}"


def _label_of(store: GraphStore, value: float) -> object:
    if store.task == "regression":
        return None if np.isnan(value) else value
    if value < 0:
        return None
    return value if store.class_names is None else store.class_names[value]
