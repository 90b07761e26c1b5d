"""An order of vertices that keeps neighbours close."""

import numpy as np

from batchgnn.kernels.jit import kernel


@kernel
def cuthill_mckee(indptr, indices, group, start, out):
    """Breadth-first order of every group's vertices, neighbours of low degree first.

    indptr, indices  int32         simple undirected graph
    group   int32 (N,)             edges between groups do not count
    start   int64 (N,)             all vertices, in the order in which to look for new starts
    out     int64 (N,)             overwritten: vertices in the order of their visit

    Cuthill and McKee, ACM Nat. Conf. 1969; a group whose starts stand together is contiguous in
    `out`. O(arcs log(largest degree)).
    """
    num_vertices = len(group)
    visited = np.zeros(num_vertices, np.bool_)
    read, write = 0, 0
    for root in start:
        if visited[root]:
            continue
        visited[root] = True
        out[write] = root
        write += 1
        while read < write:
            v = out[read]
            read += 1
            first = write
            for e in range(indptr[v], indptr[v + 1]):
                u = indices[e]
                if not visited[u] and group[u] == group[v]:
                    visited[u] = True
                    # degree and vertex in one integer, so that sorting needs no second array
                    out[write] = np.int64(indptr[u + 1] - indptr[u]) * num_vertices + u
                    write += 1
            found = out[first:write]
            found.sort()
            for i in range(len(found)):
                found[i] %= num_vertices
