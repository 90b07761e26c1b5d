"""Generated graphs and features, number by number."""

import numpy as np

from reference.permutation import permute
from reference.rng import MASK32, below, draw, unit


def community_places(n, num_communities):
    """The places of each community, heaviest first."""
    return [[p for p in range(n) if p % num_communities == c] for c in range(num_communities)]


def owned_edges(key, place, weights, num_edges, out):
    n, num_communities, exponent, shift = weights

    def below_rank(rank):
        return (rank + shift) ** (1 - exponent) - shift ** (1 - exponent)

    for community in community_places(n, num_communities):
        total = below_rank(len(community))
        for rank, p in enumerate(community):
            weight = (below_rank(rank + 1) - below_rank(rank)) / total
            mean = num_edges * weight * len(community) / n
            out[np.asarray(place) == p] = int(mean + unit(draw(key, p)))


def community_edges(key, id_key, place, begin, weights, inside, out, found):
    n, num_communities, exponent, shift = weights
    communities = community_places(n, num_communities)
    for i, mine in enumerate(place):
        own, partners = mine % num_communities, []
        others = [p for p in range(n) if p % num_communities != own]
        wanted = begin[i + 1] - begin[i]
        for attempt in range(32 * (wanted + 2)):
            a, b = (draw(draw(key, mine), 2 * attempt + k) for k in (0, 1))
            community = own
            if (a & MASK32) / 2**32 >= inside and others:
                community = others[below(a, len(others))] % num_communities
            size, p = len(communities[community]), 1 - exponent
            x = shift**p + unit(b) * ((size + shift) ** p - shift**p)
            other = communities[community][min(int(x ** (1 / p) - shift), size - 1)]
            low, high = sorted((int(mine), other))
            owner = (low, high)[draw(draw(key, low), high) % 2]
            new = other != mine and owner == mine and other not in partners
            if new and len(partners) < wanted:
                partners.append(other)
        found[i] = len(partners)
        ids = [permute(id_key, n, p) for p in partners]
        out[begin[i] : begin[i] + len(ids)] = ids


def rmat_edges(key, id_key, first, n, scale, quarters, source, target):
    a, b, c = quarters
    ends = [int(x * 65536) for x in (a, a + b, a + b + c)]
    for i in range(len(source)):
        u = v = word = 0
        while u == v or u >= n or v >= n:
            quarters = []
            while len(quarters) < scale:
                bits = draw(draw(key, first + i), word)
                quarters += [bits >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
                word += 1
            entered = [sum(q >= end for end in ends) for q in quarters[:scale]]
            u = int("".join(str(q // 2) for q in entered), 2)
            v = int("".join(str(q % 2) for q in entered), 2)
        source[i], target[i] = permute(id_key, n, u), permute(id_key, n, v)


def fill_normal(key, first, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            bits = draw(draw(key, first + i), j - j % 2)
            radius = np.sqrt(-2 * np.log(((bits >> 32) + 1) / 2**32))
            angle = 2 * np.pi * (bits & MASK32) / 2**32
            out[i, j] = radius * (np.sin(angle) if j % 2 else np.cos(angle))


def class_features(key, first, label, centre, noise, out):
    fill_normal(key, first, out)
    out[:] = centre[label] + noise * out
