"""Slow, obvious versions of the kernels of ownership and partitioning."""

import numpy as np


def shards_of(ids, offset, out):
    for i, ident in enumerate(ids):
        out[i] = next(s for s in range(len(offset) - 1) if offset[s] <= ident < offset[s + 1])


def owners_of(ids, offset, rank_of_shard, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = rank_of_shard[shard]


def local_rows_of(ids, offset, base, out):
    shard = np.empty(len(ids), np.int32)
    shards_of(ids, offset, shard)
    out[:] = base[shard] + ids.astype(np.int64) - offset[shard]


def row_sums(indptr, weight, out):
    for v in range(len(out)):
        out[v] = weight[indptr[v] : indptr[v + 1]].astype(np.float64).sum()


def count_neighbor_shards(indices, s, offset, seen, arcs):
    shard = np.empty(len(indices), np.int32)
    shards_of(indices, offset, shard)
    arcs[:] = np.bincount(shard, minlength=len(arcs))
    remote = np.unique(indices[shard != s])
    seen[remote] = s
    return len(remote)


def has_room(v, t, train, num_train, train_limit, weight, load, load_limit):
    seeds = all(num_train[t, r] < train_limit[r] for r in np.flatnonzero(train[v]))
    return seeds and load[t] + weight[v] <= load_limit


def wants_to_leave(v, train, shard, num_train, train_limit, load, size, load_limit, by_load):
    s = shard[v]
    if size[s] <= 1:
        return False
    if by_load:
        return load[s] > load_limit
    return any(num_train[s, r] > train_limit[r] for r in np.flatnonzero(train[v]))


def best_target(
    v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit, links
):
    near = shard[indices[indptr[v] : indptr[v + 1]]]
    count = {t: int((near == t).sum()) for t in range(len(load))}
    open_to_v = [
        t
        for t in range(len(load))
        if t != shard[v] and has_room(v, t, train, num_train, train_limit, weight, load, load_limit)
    ]
    if not open_to_v:
        return -1, 0
    best = min(open_to_v, key=lambda t: (-count[t], load[t], t))
    return best, count[shard[v]] - count[best]


def price_moves(
    indptr, indices, shard, train, num_train, train_limit, weight, load, size, load_limit, by_load,
    links, price,
):  # fmt: skip
    for v in range(len(shard)):
        price[v] = np.inf
        if wants_to_leave(v, train, shard, num_train, train_limit, load, size, load_limit, by_load):
            t, damage = best_target(
                v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            if t >= 0:
                price[v] = damage / weight[v] if by_load else damage


def move_in_order(
    order, price, indptr, indices, shard, train, num_train, train_limit, weight, load, size,
    load_limit, by_load, links,
):  # fmt: skip
    moves = 0
    for v in order:
        now = np.empty(len(shard))
        price_moves(
            indptr, indices, shard, train, num_train, train_limit, weight, load, size, load_limit,
            by_load, links, now,
        )  # fmt: skip
        if now[v] <= price[v] and np.isfinite(now[v]):
            t, _ = best_target(
                v, indptr, indices, shard, train, num_train, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            shard[v] = t
            load[:] = [weight[shard == s].sum() for s in range(len(load))]
            size[:] = [(shard == s).sum() for s in range(len(load))]
            num_train[:] = [train[shard == s].sum(axis=0) for s in range(len(load))]
            moves += 1
    return moves


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
