"""What a walk over all edges in chunks of targets has to know before it starts."""

from numba import prange

from batchgnn.kernels.jit import kernel, parallel_kernel


@kernel
def first_chunks(indptr, indices, first, chunk, out):
    """out[u] = min(out[u], chunk) for the sources u of consecutive targets, and for the targets.

    indptr   int64 (n + 1,)  indptr[0] = 0
    indices  integers (m,)   sources, ids of the whole graph
    first    int             id of the first target
    out      int32 (N,)      changed in place
    """
    for v in range(len(indptr) - 1):
        out[first + v] = min(out[first + v], chunk)
    for e in range(indptr[-1]):
        u = indices[e]
        if out[u] > chunk:
            out[u] = chunk


@parallel_kernel
def loop_weights(indptr, indices, weight, first, out):
    """out[v] = total weight of the edges from vertex first + v to itself.

    weight  float32 (m,), empty: all 1; out float64 (n,), overwritten; others as `first_chunks`
    """
    for v in prange(len(out)):
        total = 0.0
        for e in range(indptr[v], indptr[v + 1]):
            if indices[e] == first + v:
                total += weight[e] if len(weight) > 0 else 1.0
        out[v] = total
