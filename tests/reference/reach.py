"""Reach over lists of targets, and its formula; functions return their result."""

import numpy as np


def mark_targets(shards):
    """Ids outside each shard that its out-edges lead to; a shard: (first id, lists of targets)."""
    found = set()
    for first, targets in shards:
        inside = range(first, first + len(targets))
        found |= {int(v) for row in targets for v in row if v not in inside}
    return found


def add_over_targets(targets, x, out):
    """out[u] plus the sum of x[v] over the targets v of each vertex u; x by global id."""
    return np.array([row + sum(x[v] for v in vs) for row, vs in zip(out, targets, strict=True)])


def log_missed_by_edge(log_missed, degree, fanout):
    share = np.array([1.0 if fanout < 0 or d <= fanout else fanout / d for d in degree])
    with np.errstate(divide="ignore"):
        return np.log(1 - share[:, None] * (1 - np.exp(log_missed.astype(np.float64))))


def reach(arcs, start, fanouts):
    """P of being among the vertices sampled within some hops, vertices taken as independent.

    arcs: (source, target) pairs; start (n, k): probability of being a seed
    """
    degree = np.bincount([v for _, v in arcs], minlength=len(start))
    reached = start.astype(np.float64)
    for fanout in fanouts:
        missed = 1 - reached
        for u, v in arcs:
            share = 1 if fanout < 0 else min(1, fanout / degree[v])
            missed[u] *= 1 - share * reached[v]
        reached = 1 - missed
    return reached
