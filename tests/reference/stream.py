"""Streams of events, event by event."""

from batchgnn.kernels.stream import AGAIN, FRIEND, NUM_FRIENDS, OTHER, WHICH, WHO
from reference.rng import MASK64, below, draw, unit


def zipf_rank(u, n, exponent):
    power = 1 - exponent
    return min(int((1 + u * ((n + 1) ** power - 1)) ** (1 / power) - 1), n - 1)


def event_ends(keys, first, shape, source, target):
    for i in range(len(source)):
        event = first + i
        era = event * shape.eras // shape.num_events
        source[i] = zipf_rank(unit(draw(keys[WHO], event)), shape.num_sources, shape.exponent)
        u = unit(draw(keys[OTHER], event))
        if unit(draw(keys[AGAIN], event)) < shape.repeat:
            which = below(draw(keys[WHICH], event), NUM_FRIENDS)
            pair = (era * shape.num_sources + int(source[i])) * NUM_FRIENDS + which
            u = unit(draw(keys[FRIEND], pair))
        rank = zipf_rank(u, shape.num_targets, shape.exponent)
        target[i] = (rank + era * (shape.num_targets // max(shape.eras, 1))) % shape.num_targets


def count_captured(source, target, batch_size, last):
    pairs = set()
    last[:] = -1
    for e, ends in enumerate(zip(source, target, strict=True)):
        for v in ends:
            pairs.add((int(v), e // batch_size))
            last[v] = e // batch_size
    return len(pairs)


def sum_incidences(key, event, vertex, other):
    hashes = (draw(draw(draw(key, e), v), w) for e, v, w in zip(event, vertex, other, strict=True))
    return sum(hashes) & MASK64
