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


def deal_pairs(source, target, num_vertices, directed, ends, keys, order):
    made, place = [], []
    for u, v in zip(source.tolist(), target.tolist(), strict=True):
        low, high = (u, v) if directed or u <= v else (v, u)
        made.append((low * num_vertices + high) & MASK64)
        place.append(((made[-1] * 0x9E3779B97F4A7C15 & MASK64) >> 40) % len(ends))
    order[:] = sorted(range(len(made)), key=lambda e: place[e])
    for i, e in enumerate(order):
        keys[i] = made[e]
    for bucket in range(len(ends)):
        ends[bucket] = sum(p <= bucket for p in place)
