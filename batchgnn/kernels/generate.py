"""Random graphs and features, every element from keyed draws: no state, no tables, any chunking.

Vertices are numbered twice. A *place* says what a vertex is (its community and weight, its R-MAT
address); its *id* is the place scattered by `permutation.permute`, so that ids tell nothing.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.permutation import permute
from batchgnn.kernels.rng import below, draw, unit

LINEAR_SEARCH = 16
NUM_DRAWS = 32
LOW_32 = np.uint64(0xFFFFFFFF)
TO_UNIT_32 = 1.0 / 4294967296.0


class CommunityWeights(NamedTuple):
    """n vertices in communities, in which those of rank r weigh (r + shift)^-exponent.

    exponent  below 1
    """

    n: int
    num_communities: int
    exponent: float
    shift: float


@register_jitable
def rank_mass(rank, exponent, shift):
    """Weight of all ranks below `rank`: the integral of (r + shift)^-exponent from 0 to rank."""
    power = 1.0 - exponent
    return ((rank + shift) ** power - shift**power) / power


@register_jitable
def draw_rank(u, size, exponent, shift):
    """The rank below `size` at quantile u of the weights (r + shift)^-exponent."""
    power = 1.0 - exponent
    low = shift**power
    x = (low + u * ((size + shift) ** power - low)) ** (1.0 / power) - shift
    return min(np.int64(x), size - 1)


@register_jitable
def community_size(community, n, num_communities):
    """Vertices of a community: place p belongs to community p mod num_communities."""
    return (n - community + num_communities - 1) // num_communities


@parallel_kernel
def owned_edges(key, place, weights, num_edges, out):
    """out[i] = edges that the vertex at place[i] owns: its share of num_edges, rounded at random.

    key        uint64       stream of the rounding
    place      int64 (k,)   below n
    weights    CommunityWeights
    num_edges  float        of the whole graph
    out        int64 (k,)   overwritten
    """
    n, num_communities, exponent, shift = weights
    for i in prange(len(place)):
        community, rank = place[i] % num_communities, place[i] // num_communities
        size = community_size(community, n, num_communities)
        mass = rank_mass(rank + 1.0, exponent, shift) - rank_mass(rank + 0.0, exponent, shift)
        share = mass / rank_mass(size + 0.0, exponent, shift) * size / n
        out[i] = np.int64(share * num_edges + unit(draw(key, np.uint64(place[i]))))


@register_jitable
def is_owner(key, mine, other):
    """Whether place `mine` owns the pair {mine, other}: a fair coin that both ends agree on."""
    low, high = min(mine, other), max(mine, other)
    coin = draw(draw(key, np.uint64(low)), np.uint64(high)) & np.uint64(1)
    return (coin == np.uint64(0)) == (mine == low)


@register_jitable
def draw_partner(bits_a, bits_b, mine, n, num_communities, inside, exponent, shift):
    """A place: in the community of `mine` with probability `inside`, else in another."""
    community = mine % num_communities
    if np.float64(bits_a & LOW_32) * TO_UNIT_32 >= inside and num_communities > 1:
        # the places outside come in runs of num_communities - 1
        outside = below(bits_a, n - community_size(community, n, num_communities))
        other = outside % (num_communities - 1)
        community = other + (other >= community)
    size = community_size(community, n, num_communities)
    return draw_rank(unit(bits_b), size, exponent, shift) * num_communities + community


@register_jitable
def add_new(value, taken, count, table):
    """Add value to taken[:count] unless it is there; True when it was added.

    table  int64 of a power of two, at least twice the capacity, -1 = free; empty: search `taken`
    """
    if len(table) == 0:
        for i in range(count):
            if taken[i] == value:
                return False
    else:
        slot = np.int64(draw(np.uint64(0), np.uint64(value)) & np.uint64(len(table) - 1))
        while table[slot] >= 0:
            if table[slot] == value:
                return False
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = value
    taken[count] = value
    return True


@parallel_kernel
def community_edges(key, id_key, place, begin, weights, inside, out, found):
    """The partners of the edges that each vertex owns: a simple graph, whatever the chunking.

    A pair has one owner, and an owner takes a partner once: neither double edges nor loops.

    key      uint64 stream of the draws;  id_key  uint64 of the scattering into ids
    place    int64 (k,)      owners
    begin    int64 (k + 1,)  the edges of place[i] are begin[i] : begin[i + 1]
    weights  CommunityWeights
    inside   float           probability that a partner is drawn from the owner's community
    out      int64 (begin[k],)  overwritten: ids of the partners
    found    int64 (k,)      overwritten: how many; less than asked when hardly any are left
    """
    n, num_communities, exponent, shift = weights
    for i in prange(len(place)):
        wanted, taken = begin[i + 1] - begin[i], out[begin[i] : begin[i + 1]]
        table_size = 0
        if wanted > LINEAR_SEARCH:
            table_size = 1
            while table_size < 2 * wanted:
                table_size *= 2
        table = np.full(table_size, -1, np.int64)
        own_key, count = draw(key, np.uint64(place[i])), 0
        for attempt in range(NUM_DRAWS * (wanted + 2)):
            if count == wanted:
                break
            bits_a = draw(own_key, np.uint64(2 * attempt))
            bits_b = draw(own_key, np.uint64(2 * attempt + 1))
            other = draw_partner(
                bits_a, bits_b, place[i], n, num_communities, inside, exponent, shift
            )
            if other != place[i] and is_owner(key, place[i], other):
                count += add_new(other, taken, count, table)
        for j in range(count):
            taken[j] = permute(id_key, n, taken[j])
        found[i] = count


@parallel_kernel
def rmat_edges(key, id_key, first, n, scale, quarters, source, target):
    """Edges first .. first + k - 1 of an R-MAT graph. Chakrabarti et al., SDM 2004.

    The adjacency matrix is quartered `scale` times; a quarter is entered with probability a
    (upper left), b (upper right), c (lower left) or 1 - a - b - c. Draws outside n x n and
    self-loops are drawn again. Double edges occur.

    key      uint64 stream of the draws;  id_key  uint64 of the scattering into ids
    n        vertices, at least 2;  2^scale >= n
    quarters        (a, b, c)
    source, target  int64 (k,)  overwritten: ids
    """
    a, b, c = quarters
    low_a, low_b, low_c = (
        np.int64(a * 65536),
        np.int64((a + b) * 65536),
        np.int64((a + b + c) * 65536),
    )
    for i in prange(len(source)):
        edge_key = draw(key, np.uint64(first + np.int64(i)))
        u, v, word = 0, 0, 0
        while u == v or u >= n or v >= n:
            u, v = 0, 0
            bits = np.uint64(0)
            for level in range(scale):
                if level % 4 == 0:
                    bits = draw(edge_key, np.uint64(word))
                    word += 1
                quarter = np.int64(bits & np.uint64(0xFFFF))
                bits >>= np.uint64(16)
                u = 2 * u + (quarter >= low_b)
                v = 2 * v + ((quarter >= low_a and quarter < low_b) or quarter >= low_c)
        source[i] = permute(id_key, n, u)
        target[i] = permute(id_key, n, v)


@register_jitable
def normal_pair(bits):
    """Two independent standard normal float32 from 64 random bits: Box and Muller, 1958."""
    radius = math.sqrt(-2.0 * math.log((np.float64(bits >> np.uint64(32)) + 1.0) * TO_UNIT_32))
    angle = 2.0 * math.pi * np.float64(bits & LOW_32) * TO_UNIT_32
    return np.float32(radius * math.cos(angle)), np.float32(radius * math.sin(angle))


@parallel_kernel
def fill_normal(key, first, out):
    """out[i] = standard normal draws of row first + i; float32 (k, d), overwritten."""
    width = out.shape[1]
    for i in prange(out.shape[0]):
        row_key = draw(key, np.uint64(first + np.int64(i)))
        for j in range(0, width, 2):
            x, y = normal_pair(draw(row_key, np.uint64(j)))
            out[i, j] = x
            if j + 1 < width:
                out[i, j + 1] = y


@parallel_kernel
def class_features(key, first, label, centre, noise, out):
    """out[i] = centre[label[i]] + noise * normal draws of row first + i.

    label   int32 (k,)    classes
    centre  float32 (C, d)
    out     float32 (k, d)  overwritten
    """
    width = out.shape[1]
    for i in prange(out.shape[0]):
        row_key, middle = draw(key, np.uint64(first + np.int64(i))), centre[label[i]]
        for j in range(0, width, 2):
            x, y = normal_pair(draw(row_key, np.uint64(j)))
            out[i, j] = middle[j] + noise * x
            if j + 1 < width:
                out[i, j + 1] = middle[j + 1] + noise * y
