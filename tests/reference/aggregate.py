"""The one product with all in-edges, edge by edge."""

import numpy as np

from reference.rows import matrix_of


def place_sources(ids, first_id, first_row, num_rows, marked, out):
    words = [int(word) for word in marked.seen]
    found = [v for v in range(64 * len(words)) if words[v // 64] >> v % 64 & 1]
    for e, ident in enumerate(ids.tolist()):
        inside = first_id <= ident < first_id + num_rows
        out[e] = first_row + ident - first_id if inside else marked.row_of[found.index(ident)]


def gcn_edges(first, indptr, rows, weight, norm, out_indptr, out_rows, out_weight):
    kept = []
    for v in range(len(indptr) - 1):
        mine = first + v
        kept.append((v, mine, float(norm[mine]) ** 2))
        for e in range(indptr[v], indptr[v + 1]):
            if rows[e] != mine:
                own = float(weight[e]) if len(weight) else 1.0
                kept.append((v, rows[e], float(norm[mine]) * float(norm[rows[e]]) * own))
    out_indptr[:] = [sum(v < t for v, _, _ in kept) for t in range(len(indptr))]
    out_rows[: len(kept)] = [u for _, u, _ in kept]
    out_weight[: len(kept)] = [w for _, _, w in kept]
    return len(kept)


def put_rows(rows, at, added, out):
    rows = matrix_of(rows)
    out[at, : rows.shape[1]] = rows + (out[at, : rows.shape[1]] if added else 0)


def join_rows(aggregated, x, own, out):
    parts = matrix_of(aggregated), matrix_of(x)
    out[:] = np.hstack(parts) if own == 1 else parts[0] + parts[1]
