"""Contraction: a graph in which each cluster is one vertex; and its heaviest arcs.

Each row has one thread, and its arcs the order of their first in the finer graph: the result is the
same for any number of threads.
"""

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.cluster import Arcs, add_to, new_tally, table_size
from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import draw, unit

ROWS = 512
"Clusters that share a table."


@kernel
def list_members(cluster, indptr, member):
    """A counting sort: member[indptr[c] : indptr[c + 1]] = vertices of cluster c, ascending.

    cluster  int32 (n,)      -1: of none
    indptr   int64 (C + 1,)  overwritten
    member   int32 (n,)      overwritten as far as there are members
    """
    indptr[:] = 0
    for v in range(len(cluster)):
        if cluster[v] >= 0:
            indptr[cluster[v] + 1] += 1
    for c in range(len(indptr) - 1):
        indptr[c + 1] += indptr[c]
    for v in range(len(cluster)):
        if cluster[v] >= 0:
            member[indptr[cluster[v]]] = v
            indptr[cluster[v]] += 1
    indptr[1:] = indptr[:-1].copy()
    indptr[0] = 0


@register_jitable
def arcs_from(c, arcs, members):
    """Arcs that leave the members of cluster c, those inside included."""
    start, member = members
    total = np.int64(0)
    for i in range(start[c], start[c + 1]):
        total += arcs.indptr[member[i] + 1] - arcs.indptr[member[i]]
    return total


@register_jitable
def tally_clusters(c, arcs, members, cluster, mask, tally):
    """Add up the weights of the arcs from cluster c to each other; returns how many others."""
    start, member = members
    num_used = 0
    for i in range(start[c], start[c + 1]):
        v = member[i]
        for e in range(arcs.indptr[v], arcs.indptr[v + 1]):
            other = cluster[arcs.indices[e]]
            if other != c:
                weight = arcs.between[e] if len(arcs.between) else 1
                num_used = add_to(tally, mask, num_used, other, weight)
    return num_used


@kernel
def _widest(begin, end, arcs, members, num_clusters):
    """Most other clusters that one of clusters begin to end may have arcs to."""
    most = np.int64(1)
    for c in range(begin, end):
        most = max(most, min(arcs_from(c, arcs, members), num_clusters))
    return most


@kernel
def _count_block(begin, end, arcs, members, cluster, count):
    tally = new_tally(_widest(begin, end, arcs, members, len(count)))
    for c in range(begin, end):
        mask = table_size(min(arcs_from(c, arcs, members), len(count))) - 1
        count[c] = tally_clusters(c, arcs, members, cluster, mask, tally)
        for i in range(count[c]):
            tally.total[tally.used[i]] = 0


@parallel_kernel
def count_coarse_arcs(arcs, members, cluster, count):
    """count[c] = the number of other clusters that arcs lead to from cluster c.

    members  int64 (C + 1,), int32 (n,) of `list_members`
    cluster  int32 (n,)  of each vertex; no arc leads to one of none
    count    int64 (C,)  overwritten
    O(arcs), and a table a thread, of 32 to 64 bytes for each arc of the largest cluster.
    """
    indptr, indices, between, weight = arcs
    start, member = members
    for block in prange((len(count) + ROWS - 1) // ROWS):
        begin = np.int64(block) * ROWS  # prange counts in uint64
        end = min(begin + ROWS, len(count))
        graph = Arcs(indptr, indices, between, weight)
        _count_block(begin, end, graph, (start, member), cluster, count)


@kernel
def _fill_block(begin, end, arcs, members, cluster, out):
    indptr, indices, between = out
    num_clusters = len(indptr) - 1
    tally = new_tally(_widest(begin, end, arcs, members, num_clusters))
    for c in range(begin, end):
        mask = table_size(min(arcs_from(c, arcs, members), num_clusters)) - 1
        for i in range(tally_clusters(c, arcs, members, cluster, mask, tally)):
            slot = tally.used[i]
            indices[indptr[c] + i] = tally.name[slot]
            between[indptr[c] + i] = tally.total[slot]
            tally.total[slot] = 0


@parallel_kernel
def fill_coarse_arcs(arcs, members, cluster, coarse_indptr, coarse_indices, coarse_between):
    """The arcs between clusters, and the sums of what they stand for.

    coarse_indptr   int64 (C + 1,)  sums of `count_coarse_arcs`
    coarse_indices, coarse_between  int32 (arcs,)  overwritten
    Other arguments and cost as in `count_coarse_arcs`.
    """
    indptr, indices, between, weight = arcs
    start, member = members
    num_clusters = len(coarse_indptr) - 1
    for block in prange((num_clusters + ROWS - 1) // ROWS):
        begin = np.int64(block) * ROWS  # prange counts in uint64
        end = min(begin + ROWS, num_clusters)
        graph = Arcs(indptr, indices, between, weight)
        out = (coarse_indptr, coarse_indices, coarse_between)
        _fill_block(begin, end, graph, (start, member), cluster, out)


@kernel
def mark_heavy_arcs(key, least, share, arcs, kept, count):
    """Mark the arcs that weigh more than `least`, and a share of those that weigh as much.

    key    uint64        of the draws; both arcs of an edge have the same
    share  float64       between 0 and 1
    kept   bool (m,)     overwritten
    count  int64 (n,)    overwritten: kept arcs of each row
    O(arcs).
    """
    indptr, indices, between, _ = arcs
    n = np.uint64(len(count))
    for v in range(len(count)):
        count[v] = 0
        for e in range(indptr[v], indptr[v + 1]):
            low, high = np.uint64(min(v, indices[e])), np.uint64(max(v, indices[e]))
            drawn = unit(draw(key, low * n + high)) < share
            kept[e] = between[e] > least or (between[e] == least and drawn)
            count[v] += kept[e]
