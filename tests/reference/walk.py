"""What a walk over chunks of edges needs first, edge by edge."""

from reference.spmm import edges_of


def first_chunks(indptr, indices, first, chunk, out):
    for _, u, _ in edges_of(indptr, indices):
        out[u] = min(out[u], chunk)
    for v in range(len(indptr) - 1):
        out[first + v] = min(out[first + v], chunk)


def loop_weights(indptr, indices, weight, first, out):
    out[:] = 0
    for v, u, e in edges_of(indptr, indices):
        if u == first + v:
            out[v] += weight[e] if len(weight) else 1
