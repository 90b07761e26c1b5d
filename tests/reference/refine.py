"""Refinement, one vertex after the other, counts made by masks."""

import numpy as np

from batchgnn.kernels.cluster import CHUNK


def fits(v, t, weight, counts, shards):
    each = shards.counts[t] + counts[v] <= shards.most
    return shards.load[t] + weight[v] <= shards.most_load and each[counts[v] > 0].all()


def burdens(v, load, held, counts, shards):
    return load > shards.most_load or (held > shards.most)[counts[v] > 0].any()


def propose_shards(chunks, arcs, counts, shard, shards, target):
    target[:] = -1
    for i, chunk in enumerate(chunks):
        now = shard.copy()
        for v in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(shard))):
            row = slice(arcs.indptr[v], arcs.indptr[v + 1])
            if len(arcs.indices[row]):
                between = arcs.between[row] if len(arcs.between) else None
                links = np.bincount(now[arcs.indices[row]], between, len(shards.load))
                now[v] = best_shard(v, shard[v], links, arcs.weight, counts, shards)
            target[i, v - chunk * CHUNK] = now[v]


def best_shard(v, s, links, weight, counts, shards):
    too_much = burdens(v, shards.load[s], shards.counts[s], counts, shards)
    bar = links[s] // 2 if too_much else links[s]
    others = [
        t
        for t in np.flatnonzero(links >= max(bar, 1))
        if t != s and fits(v, t, weight, counts, shards)
    ]
    if not others:
        return s
    best = min(others, key=lambda t: (-links[t], shards.load[t], t))
    if links[best] == bar:
        return best if shards.load[best] < shards.load[s] - weight[v] else s
    return best


def grant_shards(chunks, target, weight, counts, shard, shards):
    left, left_load, moves = np.zeros_like(shards.counts), np.zeros_like(shards.load), 0
    for i, chunk in enumerate(chunks):
        for v in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(shard))):
            t, s = target[i, v - chunk * CHUNK], shard[v]
            stays = shards.counts[s, 0] - left[s, 0]
            if t == s or not fits(v, t, weight, counts, shards) or stays <= counts[v, 0]:
                continue
            had = burdens(v, shards.load[s], shards.counts[s], counts, shards)
            has = burdens(
                v, shards.load[s] - left_load[s], shards.counts[s] - left[s], counts, shards
            )
            if had and not has:
                continue
            shards.load[t] += weight[v]
            shards.counts[t] += counts[v]
            left_load[s] += weight[v]
            left[s] += counts[v]
            shard[v] = t
            moves += 1
    shards.load[:] -= left_load
    shards.counts[:] -= left
    return moves
