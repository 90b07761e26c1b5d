"""Refinement of a cut: vertices move to the shard that most of their arcs lead to, within limits.

In rounds, as in `cluster.py`: the chunks of a round propose at the same time, and proposals are
granted in the order of vertices. The same result for any number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.cluster import CHUNK, Arcs
from batchgnn.kernels.jit import kernel, parallel_kernel


class Contents(NamedTuple):
    """What the K shards hold, and what they may.

    load    int64 (K,)    sum of weights
    counts  int64 (K, Q)  of each quantity of `propose_shards`
    most_load  int64 ();  most  int64 (Q,): the limits
    """

    load: np.ndarray
    counts: np.ndarray
    most_load: int
    most: np.ndarray


@register_jitable
def fits(v, t, weight, counts, shards):
    """Whether shard t has room for all that v counts for."""
    if shards.load[t] + weight[v] > shards.most_load:
        return False
    for q in range(counts.shape[1]):
        if counts[v, q] and shards.counts[t, q] + counts[v, q] > shards.most[q]:
            return False
    return True


@register_jitable
def burdens(v, load, held, counts, shards):
    """Whether a shard of that load, which holds `held`, has too much of what v is part of."""
    if load > shards.most_load:
        return True
    too_much = False
    for q in range(counts.shape[1]):
        too_much |= counts[v, q] > 0 and held[q] > shards.most[q]
    return too_much


@register_jitable
def best_shard(v, arcs, shard, first, mine, counts, shards, links):
    """Where v has most arcs, among its own shard and those with room; links is zero again after.

    Of shards with as many arcs the one with the least load, if it is lighter than v's own even
    with v. A vertex of a shard that has too much goes where half as many of its arcs lead, too.
    """
    indptr, indices, between, weight = arcs
    s = shard[v]
    for e in range(indptr[v], indptr[v + 1]):
        u = np.int64(indices[e])
        t = mine[u - first] if first <= u < first + CHUNK else shard[u]
        links[t] += between[e] if len(between) else 1
    best, most = s, links[s]
    if burdens(v, shards.load[s], shards.counts[s], counts, shards):
        most = links[s] // 2  # dearer moves are left to who looks for the cheapest
    for t in range(len(links)):
        if t != s and links[t] >= most and links[t] and fits(v, t, weight, counts, shards):
            bar = shards.load[best] - (weight[v] if best == s else 0)
            if links[t] > most or shards.load[t] < bar:
                best, most = t, links[t]
    links[:] = 0
    return best


@kernel
def _propose_of_chunk(first, arcs, counts, shard, shards, mine):
    links, count = np.zeros(len(shards.load), np.int64), min(CHUNK, len(shard) - first)
    mine[:count] = shard[first : first + count]
    mine[count:] = -1
    for v in range(first, first + count):
        if arcs.indptr[v] < arcs.indptr[v + 1]:
            mine[v - first] = best_shard(v, arcs, shard, first, mine, counts, shards, links)


@parallel_kernel
def propose_shards(chunks, arcs, counts, shard, shards, target):
    """target[i, v - first] = the shard that vertex v of chunk i wants; its own where it stays.

    chunks  int64 (c,)        chunk j is the vertices from CHUNK j on
    counts  integers (n, Q)   what a vertex counts for, beside its weight: of each limited quantity
    shard   int32 (n,)        not changed; -1: of none, and without arcs
    target  int32 (c, CHUNK)  overwritten, behind the last vertex by -1

    O(arcs + K vertices) of the chunks. One thread a chunk, fixed order.
    """
    indptr, indices, between, weight = arcs
    load, held, most_load, most = shards
    for i in prange(len(chunks)):
        graph, state = Arcs(indptr, indices, between, weight), Contents(load, held, most_load, most)
        _propose_of_chunk(chunks[i] * CHUNK, graph, counts, shard, state, target[i])


@kernel
def grant_shards(chunks, target, weight, counts, shard, shards):
    """Move vertices to the shards they want, in order, as long as these have room.

    shard, shards  changed; arguments as in `propose_shards`, `target` is used up
    What a move frees is free after the call. A shard keeps its last vertex, of counts[:, 0]; one
    that had too much lets vertices go until it has not.
    Returns the number of moves. O(Q vertices).
    """
    left = np.zeros_like(shards.counts)
    left_load = np.zeros_like(shards.load)
    moves = 0
    for i in range(len(chunks)):
        first = chunks[i] * CHUNK
        for j in range(min(CHUNK, len(shard) - first)):
            v, t = first + j, target[i, j]
            s = shard[v]
            if t == s or not fits(v, t, weight, counts, shards):
                continue
            if shards.counts[s, 0] - left[s, 0] <= counts[v, 0]:
                continue
            if burdens(v, shards.load[s], shards.counts[s], counts, shards) and not burdens(
                v, shards.load[s] - left_load[s], shards.counts[s] - left[s], counts, shards
            ):
                continue
            shards.load[t] += weight[v]
            left_load[s] += weight[v]
            for q in range(counts.shape[1]):
                shards.counts[t, q] += counts[v, q]
                left[s, q] += counts[v, q]
            shard[v] = t
            moves += 1
    shards.load[:] -= left_load
    shards.counts[:] -= left
    return moves
