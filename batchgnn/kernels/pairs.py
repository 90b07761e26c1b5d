"""Hashes of unordered pairs: what a pair draws, and whether a list of arcs is symmetric.

Sums of hashes, one per direction, tell the latter without keeping the arcs.
"""

import numpy as np
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.rng import draw


@register_jitable
def pair_hash(key, u, v, weight_bits):
    """64 bits of the unordered pair {u, v} and the weight of its arc."""
    return draw(draw(draw(key, np.uint64(min(u, v))), np.uint64(max(u, v))), np.uint64(weight_bits))


@kernel
def hash_pairs(key, source, target, out):
    """out[e] = 64 bits of the unordered pair {source[e], target[e]}; int64 (k,) to uint64 (k,)."""
    for e in range(len(source)):
        out[e] = pair_hash(key, source[e], target[e], np.uint32(0))


@kernel
def add_pair_sums(key, source, target, weight_bits, sums):
    """sums[u > v, bucket] += hash of each arc u -> v that is no self-loop.

    key             uint64
    source, target  int64 (k,)
    weight_bits     uint32 (k,) the float32 weights' bits; or (0,): no weights
    sums            uint64 (2, a power of two)  added to, modulo 2^64

    Both rows are equal when each arc has its reverse, of the same weight and as often; when not,
    they differ but for a chance of 2^-64. The bucket is the hash's lowest bits.
    """
    for e in range(len(source)):
        u, v = source[e], target[e]
        if u != v:
            bits = weight_bits[e] if len(weight_bits) else np.uint32(0)
            h = pair_hash(key, u, v, bits)
            sums[1 if u > v else 0, h & np.uint64(sums.shape[1] - 1)] += h


@kernel
def pair_buckets(key, source, target, weight_bits, num_buckets, out):
    """out[e] = bucket of `add_pair_sums` that got arc e, -1 for a self-loop; int64 (k,)."""
    for e in range(len(source)):
        bits = weight_bits[e] if len(weight_bits) else np.uint32(0)
        h = pair_hash(key, source[e], target[e], bits)
        out[e] = -1 if source[e] == target[e] else np.int64(h & np.uint64(num_buckets - 1))


MIX = np.uint64(0x9E3779B97F4A7C15)


@kernel
def deal_pairs(source, target, num_vertices, directed, ends, keys, order):
    """Pairs as numbers, those of a bucket together: copies of an edge are in one bucket.

    source, target  integers (k,)
    num_vertices    at most 2^32: a pair is source x num_vertices + target, the lower end first
                    unless `directed`
    ends            int64 (buckets,)  overwritten: where each bucket ends
    keys            uint64 (k,)       overwritten: bucket after bucket, in each as they came
    order           int64 (k,)        overwritten: the pair that each key is of

    The bucket is a hash of the number. O(k + buckets).
    """
    n, num = np.uint64(num_vertices), np.uint64(len(ends))
    ends[:] = 0
    made, place = np.empty(len(source), np.uint64), np.empty(len(source), np.uint16)
    for e in range(len(source)):
        u, v = np.uint64(source[e]), np.uint64(target[e])
        if not directed and u > v:
            u, v = v, u
        made[e] = u * n + v
        bucket = ((made[e] * MIX) >> np.uint64(40)) % num
        place[e] = bucket
        ends[bucket] += 1
    total = 0
    for bucket in range(len(ends)):
        total += ends[bucket]
        ends[bucket] = total - ends[bucket]
    for e in range(len(source)):
        keys[ends[place[e]]] = made[e]
        order[ends[place[e]]] = e
        ends[place[e]] += 1
