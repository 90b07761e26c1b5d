"""Sampling from lists of in-neighbours; functions return their result."""

import numpy as np

from reference.rng import below, draw


def choose(key, degree, count):
    """Floyd's algorithm for up to 32 positions, selection sampling above."""
    if count == degree:
        return list(range(count))
    if count <= 32:
        chosen = []
        for top in range(degree - count, degree):
            position = below(draw(key, top - degree + count), top + 1)
            chosen.append(top if position in chosen else position)
        return chosen
    chosen = []
    for position in range(degree):
        if below(draw(key, position), degree - position) < count - len(chosen):
            chosen.append(position)
    return chosen


def locate(lists, fanout):
    """(degree, count) of each list of in-neighbours."""
    return [(len(row), len(row) if fanout < 0 else min(len(row), fanout)) for row in lists]


def draw_neighbors(keys, ids, lists, fanout):
    """The drawn neighbours of each list."""
    return [
        np.array([row[j] for j in choose(draw(int(key), int(v)), degree, count)], np.int64)
        for key, v, row, (degree, count) in zip(
            keys, ids, lists, locate(lists, fanout), strict=True
        )
    ]


def keep_others(steps, ids, lists, left_out):
    """Of each row, whether each neighbour stays; left_out: of each step, a set of (u, v)."""
    return [
        [(int(u), int(v)) not in left_out[step] for u in row]
        for step, v, row in zip(steps, ids, lists, strict=True)
    ]
