"""CSR topology of a block: the transpose, the self-loops of GCN and GAT. Sequential, O(n + m)."""

from batchgnn.kernels.jit import kernel


@kernel
def transpose_csr(indptr, indices, out_indptr, out_rows, out_edge):
    """The edges by source instead of by target, by a stable counting sort.

    indptr      int64 (n + 1,)      edges into target v are indptr[v] : indptr[v + 1]
    indices     int32 (m,)          source of each edge, below n_src
    out_indptr  int64 (n_src + 1,)  overwritten
    out_rows    int32 (m,)          overwritten: targets of each source, ascending
    out_edge    int64 (m,)          overwritten: where each edge lies in `indices`
    """
    num_sources = len(out_indptr) - 1
    out_indptr[:] = 0
    for e in range(len(indices)):
        out_indptr[indices[e] + 1] += 1
    for u in range(num_sources):
        out_indptr[u + 1] += out_indptr[u]
    for v in range(len(indptr) - 1):
        for e in range(indptr[v], indptr[v + 1]):
            place = out_indptr[indices[e]]
            out_rows[place] = v
            out_edge[place] = e
            out_indptr[indices[e]] = place + 1
    for u in range(num_sources, 0, -1):
        out_indptr[u] = out_indptr[u - 1]
    out_indptr[0] = 0


@kernel
def add_self_loops(indptr, indices, out_indptr, out_indices, out_edge):
    """Each target's row becomes itself, once, and then its edges from other vertices.

    indptr       int64 (n + 1,), indices int32 (m,); target v is row v of the sources
    out_indptr   int64 (n + 1,)      overwritten
    out_indices  int32 (n + m,)      overwritten up to the returned number of edges
    out_edge     int64 (n + m,)      likewise: where each edge lay in `indices`, -1 for the loop
    """
    count = 0
    out_indptr[0] = 0
    for v in range(len(indptr) - 1):
        out_indices[count] = v
        out_edge[count] = -1
        count += 1
        for e in range(indptr[v], indptr[v + 1]):
            if indices[e] != v:
                out_indices[count] = indices[e]
                out_edge[count] = e
                count += 1
        out_indptr[v + 1] = count
    return count


@kernel
def gcn_weights(indptr, indices, edge, weight, scale, factor, out):
    """Weights of GCN on the CSR made by `add_self_loops`. Eq. 2 of arXiv:1609.02907.

    out[e] = scale[v] scale[u] weight[edge[e]] factor[v], and scale[v]^2 for a self-loop.

    weight  float32 (of the edges without loops); empty: all 1
    scale   float32 (n_src,)  rsqrt(1 + weighted in-degree)
    factor  float32 (n,)      in-degree / drawn edges: makes the sum of a sample unbiased
    out     float32 (m,)      overwritten
    """
    for v in range(len(indptr) - 1):
        for e in range(indptr[v], indptr[v + 1]):
            w = scale[v] * scale[indices[e]]
            if edge[e] >= 0:
                w *= factor[v]
                if len(weight) > 0:
                    w *= weight[edge[e]]
            out[e] = w
