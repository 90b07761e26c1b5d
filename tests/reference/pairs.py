"""Sums and buckets over hashed pairs, edge by edge."""

from reference.rng import MASK64, draw


def pair_hash(key, u, v, weight_bits):
    return draw(draw(draw(key, min(u, v)), max(u, v)), weight_bits)


def hash_pairs(key, source, target, out):
    for e, (u, v) in enumerate(zip(source, target, strict=True)):
        out[e] = pair_hash(key, u, v, 0)


def add_pair_sums(key, source, target, weight_bits, sums):
    for e, (u, v) in enumerate(zip(source, target, strict=True)):
        h = pair_hash(key, u, v, weight_bits[e] if len(weight_bits) else 0)
        row, bucket = int(u > v), h % sums.shape[1]
        if u != v:
            sums[row, bucket] = (int(sums[row, bucket]) + h) & MASK64


def pair_buckets(key, source, target, weight_bits, num_buckets, out):
    for e, (u, v) in enumerate(zip(source, target, strict=True)):
        h = pair_hash(key, u, v, weight_bits[e] if len(weight_bits) else 0)
        out[e] = -1 if u == v else h % num_buckets
