"""METIS, k-way: few edges between shards, even weights.

Karypis and Kumar, SIAM J. Sci. Comput. 20(1), 1998; through pymetis.
"""

import contextlib

import numpy as np

from batchgnn.partition.cut_graph import CutGraph

LONG = 1_000_000
"Edges of a graph that takes METIS seconds to minutes, in which Python hears no signal."

IMBALANCE = 30
"Permitted excess of a shard's weight over the mean, in thousandths (METIS' own default)."


def metis_shards(graph: CutGraph, num_shards: int, seed: int) -> np.ndarray:
    """int32 (N,): a shard for each vertex, by METIS k-way with vertex weight 1 + in-degree.

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
            pymetis.CSRAdjacency(graph.indptr, graph.indices),
            vweights=capped,
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
