"""Label propagation, one vertex after the other, sums in dictionaries."""

import numpy as np

from batchgnn.kernels.cluster import CHUNK, SAMPLED
from reference.rng import draw


def propose_clusters(key, chunks, arcs, label, load, limit, target):
    target[:] = -1
    for i, chunk in enumerate(chunks):
        now = label.copy()
        for v in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(label))):
            row = np.arange(arcs.indptr[v], arcs.indptr[v + 1])
            if len(row) > SAMPLED:
                row = row[np.arange(SAMPLED) * len(row) // SAMPLED]
            total = {}
            for e in row:
                name = int(now[arcs.indices[e]])
                total[name] = total.get(name, 0) + (arcs.between[e] if len(arcs.between) else 1)
            own, mine = int(label[v]), draw(key, v)
            room = [t for t in total if t == own or load[t] + arcs.weight[v] <= limit]
            best = max(room, key=lambda t: (total[t], t == own, draw(mine, t)), default=own)
            now[v] = best
            target[i, v - chunk * CHUNK] = best


def grant_clusters(chunks, target, weight, limit, label, load):
    freed, moves = np.zeros_like(load), 0
    for i, chunk in enumerate(chunks):
        for v in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(label))):
            t, own = target[i, v - chunk * CHUNK], label[v]
            target[i, v - chunk * CHUNK] = -1
            if t != own and load[t] + weight[v] <= limit:
                target[i, v - chunk * CHUNK] = own
                load[t] += weight[v]
                freed[own] += weight[v]
                label[v] = t
                moves += 1
    load -= freed
    return moves


def pair_up(favourite, weight, limit, label, load, group):
    for wanted in sorted(set(favourite.tolist()) - {-1}):
        for v in np.flatnonzero(favourite == wanted):
            t = group[wanted]
            if t >= 0 and weight[label == t].sum() + weight[v] <= limit:
                label[v] = t
            else:
                group[wanted] = label[v]
    load[:] = [weight[label == t].sum() for t in range(len(load))]
