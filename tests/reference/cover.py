"""Alternating paths by sets that grow until nothing is new."""

from reference.spmm import edges_of


def reach_alternating(indptr, targets, match_of_source, match_of_target, reached, queue):
    found = {u for u, match in enumerate(match_of_source) if match < 0}
    queue[:] = 0  # scratch
    while True:
        seen = {match_of_target[v] for u, v, _ in edges_of(indptr, targets) if u in found} - {-1}
        if seen <= found:
            break
        found |= seen
    reached[:] = [u in found for u in range(len(reached))]
