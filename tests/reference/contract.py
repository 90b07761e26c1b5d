"""Contraction by a dense matrix of what lies between clusters."""

import numpy as np

from reference.rng import draw, unit


def list_members(cluster, indptr, member):
    num_clusters = len(indptr) - 1
    groups = [np.flatnonzero(cluster == c) for c in range(num_clusters)]
    indptr[:] = np.cumsum([0, *map(len, groups)])
    member[: indptr[-1]] = np.concatenate([*groups, []])


def rows_between(arcs, members, cluster, num_clusters):
    """Of each cluster, {other cluster: weight} in the order of their first arc."""
    start, member = members
    for c in range(num_clusters):
        row = {}
        for v in member[start[c] : start[c + 1]]:
            for e in range(arcs.indptr[v], arcs.indptr[v + 1]):
                other = int(cluster[arcs.indices[e]])
                if other != c:
                    weight = arcs.between[e] if len(arcs.between) else 1
                    row[other] = row.get(other, 0) + weight
        yield row


def count_coarse_arcs(arcs, members, cluster, count):
    count[:] = [len(row) for row in rows_between(arcs, members, cluster, len(count))]


def fill_coarse_arcs(arcs, members, cluster, coarse_indptr, coarse_indices, coarse_between):
    rows = list(rows_between(arcs, members, cluster, len(coarse_indptr) - 1))
    coarse_indices[:] = [other for row in rows for other in row]
    coarse_between[:] = [weight for row in rows for weight in row.values()]


def mark_heavy_arcs(key, least, share, arcs, kept, count):
    n = len(count)
    row = np.repeat(np.arange(n), np.diff(arcs.indptr))
    for e, (v, u) in enumerate(zip(row, arcs.indices, strict=True)):
        drawn = unit(draw(key, int(min(u, v)) * n + int(max(u, v)))) < share
        kept[e] = arcs.between[e] > least or (arcs.between[e] == least and drawn)
    count[:] = np.bincount(row[kept], minlength=n)
