"""Moving single vertices, all counts made anew after each move."""

import numpy as np


def has_room(v, t, train, num_seeds, train_limit, weight, load, load_limit):
    seeds = all(num_seeds[t, r] < train_limit[r] for r in np.flatnonzero(train[v]))
    return seeds and load[t] + weight[v] <= load_limit


def wants_to_leave(v, train, shard, num_seeds, train_limit, load, size, load_limit, by_load):
    s = shard[v]
    if size[s] <= 1:
        return False
    if by_load:
        return load[s] > load_limit
    return any(num_seeds[s, r] > train_limit[r] for r in np.flatnonzero(train[v]))


def best_target(
    v, indptr, indices, shard, train, num_seeds, train_limit, weight, load, load_limit, links
):
    near = shard[indices[indptr[v] : indptr[v + 1]]]
    count = {t: int((near == t).sum()) for t in range(len(load))}
    open_to_v = [
        t
        for t in range(len(load))
        if t != shard[v] and has_room(v, t, train, num_seeds, train_limit, weight, load, load_limit)
    ]
    if not open_to_v:
        return -1, 0
    best = min(open_to_v, key=lambda t: (-count[t], load[t], t))
    return best, count[shard[v]] - count[best]


def price_moves(
    indptr, indices, shard, train, num_seeds, train_limit, weight, load, size, load_limit, by_load,
    links, price,
):  # fmt: skip
    for v in range(len(shard)):
        price[v] = np.inf
        if wants_to_leave(v, train, shard, num_seeds, train_limit, load, size, load_limit, by_load):
            t, damage = best_target(
                v, indptr, indices, shard, train, num_seeds, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            if t >= 0:
                price[v] = damage / weight[v] if by_load else damage


def move_in_order(
    order, price, indptr, indices, shard, train, num_seeds, train_limit, weight, load, size,
    load_limit, by_load, links,
):  # fmt: skip
    moves = 0
    for v in order:
        now = np.empty(len(shard))
        price_moves(
            indptr, indices, shard, train, num_seeds, train_limit, weight, load, size, load_limit,
            by_load, links, now,
        )  # fmt: skip
        if now[v] <= price[v] and np.isfinite(now[v]):
            t, _ = best_target(
                v, indptr, indices, shard, train, num_seeds, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            shard[v] = t
            load[:] = [weight[shard == s].sum() for s in range(len(load))]
            size[:] = [(shard == s).sum() for s in range(len(load))]
            num_seeds[:] = [train[shard == s].sum(axis=0) for s in range(len(load))]
            moves += 1
    return moves
