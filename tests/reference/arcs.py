"""Arcs of a shard, row by row."""

import numpy as np


def check_arcs(indptr, indices, num_vertices, first, last, marks):
    good = (indices >= 0) & (indices < num_vertices)
    ascending = True
    for v in range(len(indptr) - 1):
        row = slice(indptr[v], indptr[v + 1])
        own = indices[row][good[row]].astype(np.int64)
        ascending &= bool((np.diff(own) >= 0).all())
    outside = sorted({int(u) for u in indices[good] if not first <= u < last})
    for u in outside:
        marks[u >> 3] |= 1 << (u & 7)
    return bool(good.all()), ascending, len(outside)
