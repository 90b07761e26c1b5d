"""Moving single vertices between shards, all counts made anew after each move."""

import numpy as np


def has_room(v, t, vertices, shards, limits):
    splits = np.flatnonzero(vertices.train[v])
    seeds = all(shards.num_seeds[t, r] < limits.seeds[r] for r in splits)
    return seeds and shards.load[t] + vertices.weight[v] <= limits.load


def wants_to_leave(v, vertices, shards, limits, by_load):
    s = shards.shard[v]
    if shards.size[s] <= 1:
        return False
    if by_load:
        return shards.load[s] > limits.load
    splits = np.flatnonzero(vertices.train[v])
    return any(shards.num_seeds[s, r] > limits.seeds[r] for r in splits)


def best_target(v, vertices, shards, limits, links):
    indptr, shard, load = vertices.indptr, shards.shard, shards.load
    near = shard[vertices.indices[indptr[v] : indptr[v + 1]]]
    count = {t: int((near == t).sum()) for t in range(len(load))}
    others = [t for t in range(len(load)) if t != shard[v]]
    open_to_v = [t for t in others if has_room(v, t, vertices, shards, limits)]
    if not open_to_v:
        return -1, 0
    best = min(open_to_v, key=lambda t: (-count[t], load[t], t))
    return best, count[shard[v]] - count[best]


def price_moves(vertices, shards, limits, by_load, links, price):
    for v in range(len(price)):
        price[v] = np.inf
        if wants_to_leave(v, vertices, shards, limits, by_load):
            t, damage = best_target(v, vertices, shards, limits, links)
            if t >= 0:
                price[v] = damage / vertices.weight[v] if by_load else damage


def move_in_order(order, price, vertices, shards, limits, by_load, links):
    shard, num_seeds, load, size = shards
    every, moves = range(len(load)), 0
    for v in order:
        now = np.empty(len(shard))
        price_moves(vertices, shards, limits, by_load, links, now)
        if now[v] <= price[v] and np.isfinite(now[v]):
            shard[v], _ = best_target(v, vertices, shards, limits, links)
            load[:] = [vertices.weight[shard == s].sum() for s in every]
            size[:] = [(shard == s).sum() for s in every]
            num_seeds[:] = [vertices.train[shard == s].sum(axis=0) for s in every]
            moves += 1
    return moves
