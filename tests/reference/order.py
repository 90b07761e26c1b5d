"""Cuthill and McKee, with a list as the queue."""

import numpy as np


def cuthill_mckee(indptr, indices, group, start, out):
    degree = np.diff(indptr)
    queue, found = [], []
    for root in start:
        if root not in found:
            queue.append(root)
            found.append(root)
        while queue:
            v = queue.pop(0)
            near = {u for u in indices[indptr[v] : indptr[v + 1]] if group[u] == group[v]}
            new = sorted(near - set(found), key=lambda u: (degree[u], u))
            found += new
            queue += new
    out[:] = found
