"""Moving single vertices between shards, with the least damage to the cut.

The state is `shard` int32 (N,), `num_seeds` int64 (K, R) and `load`, `size` int64 (K,); a move
updates all of it. `train` uint8 (N, R) says in which of R splits a vertex is a training seed; the
graph (indptr, indices) is simple and symmetric. `links` int64 (K,) is scratch, zero between calls.
One thread, fixed order: the result is the same on every machine.
"""

import numpy as np

from batchgnn.kernels.jit import kernel


@kernel
def has_room(v, t, train, num_seeds, train_limit, weight, load, load_limit):
    """Whether shard t may take v: seeds below their limit in v's splits, load within its limit."""
    for r in range(train.shape[1]):
        if train[v, r] and num_seeds[t, r] >= train_limit[r]:
            return False
    return load[t] + weight[v] <= load_limit


@kernel
def wants_to_leave(v, train, shard, num_seeds, train_limit, load, size, load_limit, by_load):
    """Whether moving v away helps its shard.

    by_load False: v is a seed of a split in which its shard has more than `train_limit`.
    by_load True: its shard's load is above `load_limit`.
    The last vertex of a shard never leaves.
    """
    s = shard[v]
    if size[s] <= 1:
        return False
    if by_load:
        return load[s] > load_limit
    helps = False
    for r in range(train.shape[1]):
        helps |= train[v, r] and num_seeds[s, r] > train_limit[r]
    return helps


@kernel
def best_target(
    v, indptr, indices, shard, train, num_seeds, train_limit, weight, load, load_limit, links
):
    """(shard, damage): where v does the least damage to the cut; (-1, 0) when no shard has room.

    damage = cut edges added less cut edges healed. Ties go to the lightest shard, then the
    first. A shard without a neighbour of v is taken only when none with one has room.
    """
    s, best, healed = shard[v], -1, 0
    for e in range(indptr[v], indptr[v + 1]):
        links[shard[indices[e]]] += 1
    for e in range(indptr[v], indptr[v + 1]):
        t = shard[indices[e]]
        if t == s or t == best or links[t] < healed:  # noqa: SIM109 (a kernel)
            continue
        if has_room(v, t, train, num_seeds, train_limit, weight, load, load_limit) and (
            best < 0
            or links[t] > healed
            or load[t] < load[best]
            or (load[t] == load[best] and t < best)
        ):
            best, healed = t, links[t]
    lost = links[s]
    for e in range(indptr[v], indptr[v + 1]):
        links[shard[indices[e]]] = 0
    if best < 0:
        for t in range(len(load)):
            if (
                t != s
                and (best < 0 or load[t] < load[best])
                and has_room(v, t, train, num_seeds, train_limit, weight, load, load_limit)
            ):
                best = t
    return best, (lost - healed if best >= 0 else 0)


@kernel
def price_moves(
    indptr, indices, shard, train, num_seeds, train_limit, weight, load, size, load_limit, by_load,
    links, price,
):  # fmt: skip
    """price[v] = damage of v's best move (by_load: per unit of weight); inf when it should stay.

    price float64 (N,), overwritten. O(N R + arcs of the candidates).
    """
    for v in range(len(shard)):
        price[v] = np.inf
        if wants_to_leave(v, train, shard, num_seeds, train_limit, load, size, load_limit, by_load):
            t, damage = best_target(
                v, indptr, indices, shard, train, num_seeds, train_limit, weight, load, load_limit,
                links,
            )  # fmt: skip
            if t >= 0:
                price[v] = damage / weight[v] if by_load else damage


@kernel
def move_in_order(
    order, price, indptr, indices, shard, train, num_seeds, train_limit, weight, load, size,
    load_limit, by_load, links,
):  # fmt: skip
    """Move the vertices of `order`, one after the other, where it still helps.

    order  int64 (k,)  by ascending price
    A vertex whose move has become dearer than its price waits for the next pass.
    Returns the number of moves.
    """
    moves = 0
    for v in order:
        if not wants_to_leave(
            v, train, shard, num_seeds, train_limit, load, size, load_limit, by_load
        ):
            continue
        t, damage = best_target(
            v,
            indptr,
            indices,
            shard,
            train,
            num_seeds,
            train_limit,
            weight,
            load,
            load_limit,
            links,
        )
        if t < 0 or (damage / weight[v] if by_load else damage) > price[v]:
            continue
        s = shard[v]
        shard[v] = t
        load[s] -= weight[v]
        load[t] += weight[v]
        size[s] -= 1
        size[t] += 1
        for r in range(train.shape[1]):
            num_seeds[s, r] -= train[v, r]
            num_seeds[t, r] += train[v, r]
        moves += 1
    return moves
