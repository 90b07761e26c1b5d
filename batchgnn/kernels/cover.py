"""Minimum vertex covers of bipartite graphs, from a maximum matching. Sequential, O(n + m)."""

from batchgnn.kernels.jit import kernel


@kernel
def reach_alternating(indptr, targets, match_of_source, match_of_target, reached, queue):
    """Sources that alternating paths reach from sources without a match.

    The sources that are not reached, and the targets next to those that are, are a minimum vertex
    cover: as many as edges are in the matching. Koenig's theorem.

    indptr           int64 (n + 1,)         edges of source u are indptr[u] : indptr[u + 1]
    targets          int32 (m,)
    match_of_source  int32 (n,)             a maximum matching; -1: none
    match_of_target  int32 (num_targets,)   its inverse
    reached          bool (n,)              overwritten
    queue            int32 (n,)             scratch
    """
    end = 0
    for u in range(len(reached)):
        reached[u] = match_of_source[u] < 0
        if reached[u]:
            queue[end] = u
            end += 1
    begin = 0
    while begin < end:
        u = queue[begin]
        begin += 1
        for e in range(indptr[u], indptr[u + 1]):
            other = match_of_target[targets[e]]
            if other >= 0 and not reached[other]:
                reached[other] = True
                queue[end] = other
                end += 1
