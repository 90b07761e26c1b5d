"""The simple undirected graph that the cut is made on: both directions, no loops, no doubles."""

from dataclasses import dataclass

import numpy as np

from batchgnn.partition.source import GraphSource

CHUNK = 1 << 22
NARROW = 2**31 - 1
"Up to so many arcs indptr is of 32 bits, as METIS takes it."


@dataclass(frozen=True, eq=False)
class CutGraph:
    """CSR of the simple undirected graph, and what each vertex weighs.

    indptr   int32 (N + 1,), int64 where arcs are many or vertices are clusters
    indices  int32 (arcs,)  ascending within a row
    weight   int32 (N,)     1 + in-degree in the graph as it is, doubles and loops counted
    between  int32 (arcs,)  what an arc counts for; None = 1
    """

    indptr: np.ndarray
    indices: np.ndarray
    weight: np.ndarray
    between: np.ndarray | None = None

    @property
    def num_vertices(self) -> int:
        """Vertices, N."""
        return len(self.weight)


def cut_graph(graph: GraphSource) -> CutGraph:
    """Read all edges of `graph` into memory and make them simple and symmetric.

    Peak memory: `cut_graph_bytes`.
    """
    num_vertices, num_edges = graph.num_vertices, graph.num_edges
    key = np.empty(2 * num_edges, np.uint64)
    weight = np.ones(num_vertices, np.int32)
    shift, used = np.uint64(32), 0
    for source, target, _ in graph.iter_edges(CHUNK):
        _count_arcs(source, target, graph.directed, weight)
        between = source != target
        u, v = source[between].astype(np.uint64), target[between].astype(np.uint64)
        key[used : used + len(u)] = (u << shift) | v
        key[used + len(u) : used + 2 * len(u)] = (v << shift) | u
        used += 2 * len(u)
    key = key[:used]
    key.sort()
    if used:
        first = np.empty(used, bool)
        first[0] = True
        np.not_equal(key[1:], key[:-1], out=first[1:])
        key = key[first]
    indices = key.astype(np.uint32).view(np.int32)  # the low half
    key >>= shift
    indptr = np.zeros(num_vertices + 1, np.int32 if used <= NARROW else np.int64)
    np.cumsum(np.bincount(key.view(np.int64), minlength=num_vertices), out=indptr[1:])
    return CutGraph(indptr, indices, weight)


def cut_graph_bytes(num_vertices: int, num_edges: int) -> int:
    """Peak bytes of `cut_graph`: keys, their distinct copy and the mask; then the indices."""
    return 2 * num_edges * (8 + 8 + 1) + 20 * num_vertices + 64 * CHUNK


def _count_arcs(source: np.ndarray, target: np.ndarray, directed: bool, weight: np.ndarray) -> None:
    """Add the in-degrees of some edges to `weight`; an undirected edge is an arc each way."""
    np.add.at(weight, target, 1)
    if not directed:
        np.add.at(weight, source[source != target], 1)
