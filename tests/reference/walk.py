"""What a walk over chunks of edges needs first, edge by edge."""

from reference.spmm import edges_of


def first_chunks(run, chunk, out):
    first, indptr, indices, _ = run
    for _, u, _ in edges_of(indptr, indices):
        out[u] = min(out[u], chunk)
    for v in range(len(indptr) - 1):
        out[first + v] = min(out[first + v], chunk)


def loop_weights(run, out):
    first, indptr, indices, weight = run
    out[:] = 0
    for v, u, e in edges_of(indptr, indices):
        if u == first + v:
            out[v] += weight[e] if len(weight) else 1
