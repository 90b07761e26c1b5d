"""METIS, k-way: few edges between shards, even weights.

Karypis and Kumar, SIAM J. Sci. Comput. 20(1), 1998; through pymetis.
"""

import contextlib

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.partition.cut_graph import CutGraph
from batchgnn.partition.source import GraphSource

LONG = 1_000_000
"Edges of a graph that takes METIS seconds to minutes, in which Python hears no signal."

LARGEST = 2**31 - 1
"METIS counts arcs and weights in 32 bits."

IMBALANCE = 30
"Permitted excess of a shard's weight over the mean, in thousandths (METIS' own default)."


def metis_counts(graph: GraphSource) -> bool:
    """Whether METIS can count the arcs of the symmetric graph and their weights."""
    return 2 * graph.num_edges + graph.num_vertices <= LARGEST


def refuse_uncountable(graph: GraphSource) -> None:
    """Raise StoreError when METIS cannot count so many arcs."""
    if not metis_counts(graph):
        n = graph.num_vertices
        raise StoreError(
            f"{graph.name} has {graph.num_edges:,} edges; METIS takes at most "
            f"{(LARGEST - n) // 2:,} with {n:,} vertices. Use --method multilevel, or --method "
            f"random, which needs no graph in memory"
        )


def metis_shards(graph: CutGraph, num_shards: int, seed: int) -> np.ndarray:
    """int32 (N,): a shard for each vertex, by METIS k-way with the graph's weights.

    The same graph, number and seed give the same shards. No shard is empty.
    """
    import pymetis

    from batchgnn.partition.ctrl_c import ending_at_once  # slow: it compiles

    if num_shards == 1:
        return np.zeros(graph.num_vertices, np.int32)
    if len(graph.indices) == 0:  # nothing to cut: METIS would put all into few parts
        shard = np.empty(graph.num_vertices, np.int32)
        shard[np.argsort(graph.weight, kind="stable")] = np.arange(graph.num_vertices) % num_shards
        return shard
    # A vertex heavier than a whole shard cannot be balanced, and stops METIS from trying.
    capped = np.minimum(graph.weight, max(int(graph.weight.sum() // num_shards), 1))
    with ending_at_once() if len(graph.indices) > LONG else contextlib.nullcontext():
        _, parts = pymetis.part_graph(
            num_shards,
            pymetis.CSRAdjacency(graph.indptr.astype(np.int32, copy=False), graph.indices),
            vweights=capped,
            eweights=graph.between,
            recursive=False,
            options=pymetis.Options(seed=seed % 2**31, ufactor=IMBALANCE),
        )
    return fill_empty(np.array(parts, np.int32), num_shards)


def fill_empty(shard: np.ndarray, num_shards: int) -> np.ndarray:
    """Give each empty shard the last vertex of the shard that has most; in place, returned."""
    sizes = np.bincount(shard, minlength=num_shards)
    for empty in np.flatnonzero(sizes == 0):
        giver = int(np.argmax(sizes))
        shard[np.flatnonzero(shard == giver)[-1]] = empty
        sizes[giver] -= 1
        sizes[empty] += 1
    return shard
