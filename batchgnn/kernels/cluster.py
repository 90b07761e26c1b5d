"""Size-constrained label propagation: vertices join the cluster that most of their arcs lead to.

In rounds. Those of a round's chunks propose at the same time, each chunk by one thread, which sees
what its own chunk has proposed and of all others what held before the round; then proposals are
granted in the order of vertices. So the result is the same for any number of threads.

Meyerhenke, Sanders, Schulz, J. Heuristics 22(5), 2016 (the propagation), and IEEE TPDS 28(9), 2017.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import draw

CHUNK = 4096
"Consecutive vertices that propose together."
SAMPLED = 4096
"Of a vertex with more arcs, that many at equal distances are looked at."


class Arcs(NamedTuple):
    """A simple, symmetric graph with weights.

    indptr   int32/int64 (n + 1,)
    indices  int32 (m,)
    between  int32 (m,), or (0,): each arc counts once
    weight   int32 (n,)  of the vertices
    """

    indptr: np.ndarray
    indices: np.ndarray
    between: np.ndarray
    weight: np.ndarray


class Tally(NamedTuple):
    """A hash table of sums by name: open addressing, a sum of 0 is a free slot.

    name   int32 (s,)
    total  int64 (s,)
    used   int32 (s,)  the slots in use, in the order in which they were first
    """

    name: np.ndarray
    total: np.ndarray
    used: np.ndarray


@register_jitable
def new_tally(most):
    """An empty table for `most` different names."""
    size = table_size(most)
    return Tally(np.empty(size, np.int32), np.zeros(size, np.int64), np.empty(size, np.int32))


@register_jitable
def table_size(most):
    """The power of 2 that is at least twice `most`."""
    size = 8
    while size < 2 * most:
        size *= 2
    return size


@register_jitable
def add_to(tally, mask, num_used, name, amount):
    """Add to the sum of a name; returns how many names there are. mask = slots to use - 1."""
    slot = (np.int64(name) * 0x9E3779B1 >> 7) & mask
    while tally.total[slot] and tally.name[slot] != name:
        slot = (slot + 1) & mask
    if not tally.total[slot]:
        tally.name[slot] = name
        tally.used[num_used] = slot
        num_used += 1
    tally.total[slot] += amount
    return num_used


@register_jitable
def tally_labels(v, arcs, label, first, mine, tally):
    """Add up the weight of v's arcs by the label of their other end; returns the number of labels.

    mine: the labels of the chunk that begins at `first`, which hold instead of `label`
    """
    indptr, indices, between, _ = arcs
    begin, degree = np.int64(indptr[v]), np.int64(indptr[v + 1] - indptr[v])
    looked, num_used = min(degree, SAMPLED), 0
    mask = table_size(looked) - 1
    for i in range(looked):
        e = begin + (i if looked == degree else i * degree // looked)
        u = np.int64(indices[e])
        name = mine[u - first] if first <= u < first + CHUNK else label[u]
        num_used = add_to(tally, mask, num_used, name, between[e] if len(between) else 1)
    return num_used


@register_jitable
def take_heaviest(key, own, weight, load, limit, tally, num_used):
    """The label with the largest sum that has room for `weight`; empties the table.

    Ties go to `own`, then by a draw. `own` always has room; it is the answer where no other has.
    """
    best, most = own, np.int64(0)
    for i in range(num_used):
        slot = tally.used[i]
        name, total = tally.name[slot], tally.total[slot]
        tally.total[slot] = 0
        if name != own and (total < most or load[name] + weight > limit):
            continue
        if (
            total > most
            or (name == own and total == most)
            or (
                total == most
                and best != own
                and draw(key, np.uint64(name)) > draw(key, np.uint64(best))
            )
        ):
            best, most = name, total
    return best


@kernel
def _propose_of_chunk(key, first, arcs, label, load, limit, mine):
    tally, count = new_tally(SAMPLED), min(CHUNK, len(label) - first)
    mine[:count] = label[first : first + count]
    mine[count:] = -1
    for v in range(first, first + count):
        num_used = tally_labels(v, arcs, label, first, mine, tally)
        draws = draw(key, np.uint64(v))
        mine[v - first] = take_heaviest(
            draws, label[v], arcs.weight[v], load, limit, tally, num_used
        )


@parallel_kernel
def propose_clusters(key, chunks, arcs, label, load, limit, target):
    """target[i, v - first] = the label that vertex v of chunk i wants; its own where it stays.

    key     uint64         of the draws for ties
    chunks  int64 (c,)     chunk j is the vertices from CHUNK j on
    label   int32 (n,)     not changed
    load    int64 (n,)     sum of weights by label
    limit   int            of a load; larger clusters take nobody
    target  int32 (c, CHUNK)  overwritten, behind the last vertex by -1

    O(arcs of the chunks), 16 SAMPLED slots a chunk of scratch. One thread a chunk, fixed order.
    """
    indptr, indices, between, weight = arcs
    for i in prange(len(chunks)):
        graph = Arcs(indptr, indices, between, weight)
        _propose_of_chunk(key, chunks[i] * CHUNK, graph, label, load, limit, target[i])


@kernel
def grant_clusters(chunks, target, weight, limit, label, load):
    """Move vertices to the labels they want, in order, as long as these have room.

    label, load  changed; arguments as in `propose_clusters`, `target` is used up
    What a move frees is free after the call. Returns the number of moves. O(vertices).
    """
    moves = 0
    for i in range(len(chunks)):
        first = chunks[i] * CHUNK
        for j in range(min(CHUNK, len(label) - first)):
            v, t = first + j, target[i, j]
            target[i, j] = -1
            if t != label[v] and load[t] + weight[v] <= limit:
                load[t] += weight[v]
                target[i, j] = label[v]
                label[v] = t
                moves += 1
    for i in range(len(chunks)):
        for j in range(CHUNK):
            if target[i, j] >= 0:
                load[target[i, j]] -= weight[chunks[i] * CHUNK + j]
    return moves


@kernel
def pair_up(favourite, weight, limit, label, load, group):
    """Put vertices that are alone, and would like to join the same cluster, into common clusters.

    favourite  int32 (n,)  the label that a vertex wants most, room or not; -1 where it is not alone
    group      int32 (n,)  scratch, -1: by favourite, the label of the cluster that is being filled
    label, load            changed
    O(n), in the order of vertices.
    """
    for v in range(len(label)):
        wanted = favourite[v]
        if wanted < 0:
            continue
        t = group[wanted]
        if t >= 0 and load[t] + weight[v] <= limit:
            load[label[v]] -= weight[v]
            load[t] += weight[v]
            label[v] = t
        else:
            group[wanted] = label[v]
