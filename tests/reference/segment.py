"""Other forms of a CSR, by sorting its edges."""

from reference.spmm import edges_of


def transpose_csr(indptr, indices, out_indptr, out_rows, out_edge):
    by_source = sorted((u, v, e) for v, u, e in edges_of(indptr, indices))
    out_indptr[:] = [sum(u < s for u, _, _ in by_source) for s in range(len(out_indptr))]
    out_rows[:] = [v for _, v, _ in by_source]
    out_edge[:] = [e for _, _, e in by_source]


def add_self_loops(indptr, indices, out_indptr, out_indices, out_edge):
    kept = [(v, -1, v) for v in range(len(indptr) - 1)]
    kept += [(v, e, u) for v, u, e in edges_of(indptr, indices) if u != v]
    kept.sort()
    out_indptr[:] = [sum(v < t for v, _, _ in kept) for t in range(len(indptr))]
    out_edge[: len(kept)] = [e for _, e, _ in kept]
    out_indices[: len(kept)] = [u for _, _, u in kept]
    return len(kept)


def gcn_weights(indptr, indices, edge, weight, scale, factor, out):
    for v, u, e in edges_of(indptr, indices):
        if edge[e] == -1:
            out[e] = float(scale[v]) ** 2
        else:
            own = float(weight[edge[e]]) if len(weight) else 1.0
            out[e] = float(scale[v]) * float(scale[u]) * own * float(factor[v])
