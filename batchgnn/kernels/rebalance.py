"""Moving single vertices between shards, with the least damage to the cut.

`links` int64 (K,) is scratch, zero between calls. One thread, fixed order: the result is the same
on every machine.
"""

from typing import NamedTuple

import numpy as np

from batchgnn.kernels.jit import kernel


class Vertices(NamedTuple):
    """What is cut: a simple, symmetric graph, and what each of its N vertices counts for.

    indptr, indices  int32 (N + 1,), (arcs,)
    weight           int32 (N,)    load of a vertex
    train            uint8 (N, R)  1 where it is a training seed of a split
    """

    indptr: np.ndarray
    indices: np.ndarray
    weight: np.ndarray
    train: np.ndarray


class Shards(NamedTuple):
    """The state of the K shards; a move updates all of it.

    shard       int32 (N,)    of each vertex
    num_seeds   int64 (K, R)  of each split
    load, size  int64 (K,)    sum of weights, and number of vertices
    """

    shard: np.ndarray
    num_seeds: np.ndarray
    load: np.ndarray
    size: np.ndarray


class Limits(NamedTuple):
    """Up to where a shard may be filled: seeds int64 (R,) of each split, and load."""

    seeds: np.ndarray
    load: int


@kernel
def has_room(v, t, vertices, shards, limits):
    """Whether shard t may take v: seeds below their limit in v's splits, load within its limit."""
    for r in range(len(limits.seeds)):
        if vertices.train[v, r] and shards.num_seeds[t, r] >= limits.seeds[r]:
            return False
    return shards.load[t] + vertices.weight[v] <= limits.load


@kernel
def wants_to_leave(v, vertices, shards, limits, by_load):
    """Whether moving v away helps its shard.

    by_load False: v is a seed of a split in which its shard has more than the limit.
    by_load True: its shard's load is above the limit.
    The last vertex of a shard never leaves.
    """
    s = shards.shard[v]
    if shards.size[s] <= 1:
        return False
    if by_load:
        return shards.load[s] > limits.load
    helps = False
    for r in range(len(limits.seeds)):
        helps |= vertices.train[v, r] and shards.num_seeds[s, r] > limits.seeds[r]
    return helps


@kernel
def best_target(v, vertices, shards, limits, links):
    """(shard, damage): where v does the least damage to the cut; (-1, 0) when no shard has room.

    damage = cut edges added less cut edges healed. Ties go to the lightest shard, then the
    first. A shard without a neighbour of v is taken only when none with one has room.
    """
    indptr, indices, _, _ = vertices
    shard, _, load, _ = shards
    s, best, healed = shard[v], -1, 0
    for e in range(indptr[v], indptr[v + 1]):
        links[shard[indices[e]]] += 1
    for e in range(indptr[v], indptr[v + 1]):
        t = shard[indices[e]]
        if t == s or t == best or links[t] < healed:  # noqa: SIM109 (a kernel)
            continue
        if has_room(v, t, vertices, shards, limits) and (
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
                and has_room(v, t, vertices, shards, limits)
            ):
                best = t
    return best, (lost - healed if best >= 0 else 0)


@kernel
def price_moves(vertices, shards, limits, by_load, links, price):
    """price[v] = damage of v's best move (by_load: per unit of weight); inf when it should stay.

    price float64 (N,), overwritten. O(N R + arcs of the candidates).
    """
    for v in range(len(price)):
        price[v] = np.inf
        if wants_to_leave(v, vertices, shards, limits, by_load):
            t, damage = best_target(v, vertices, shards, limits, links)
            if t >= 0:
                price[v] = damage / vertices.weight[v] if by_load else damage


@kernel
def move_in_order(order, price, vertices, shards, limits, by_load, links):
    """Move the vertices of `order`, one after the other, where it still helps.

    order  int64 (k,)  by ascending price
    A vertex whose move has become dearer than its price waits for the next pass.
    Returns the number of moves.
    """
    _, _, weight, train = vertices
    shard, num_seeds, load, size = shards
    moves = 0
    for v in order:
        if not wants_to_leave(v, vertices, shards, limits, by_load):
            continue
        t, damage = best_target(v, vertices, shards, limits, links)
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
