"""Streams of events: drawn, and counted in one pass. Pure functions of arrays."""

from typing import NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel, parallel_kernel
from batchgnn.kernels.rng import below, draw, unit

NUM_FRIENDS = 4
"Partners that come back to a source."

WHO, AGAIN, WHICH, FRIEND, OTHER = range(5)
"Uses of a stream's keys."


class StreamShape(NamedTuple):
    """How a stream is drawn.

    num_sources, num_targets  vertices on either side
    num_events
    exponent    of Zipf's law, not 1
    repeat      share of the events whose target is one of few partners of their source
    eras        how often popularity and partners change along the stream
    """

    num_sources: int
    num_targets: int
    num_events: int
    exponent: float
    repeat: float
    eras: int


@register_jitable
def zipf_rank(u, n, exponent):
    """The rank below n at quantile u of the density (r + 1)^-exponent on [0, n)."""
    power = 1.0 - exponent
    x = (1.0 + u * ((n + 1.0) ** power - 1.0)) ** (1.0 / power) - 1.0
    return min(np.int64(x), n - 1)


@parallel_kernel
def event_ends(keys, first, shape, source, target):
    """Ends of the events first, first + 1, ...; no state, so any chunk is the same.

    keys    uint64 (5,)  one for each use of randomness
    first   int
    shape   StreamShape
    source  int64 (k,)  overwritten: below num_sources
    target  int64 (k,)  overwritten: below num_targets
    """
    num_sources, num_targets, num_events, exponent, repeat, eras = shape
    for i in prange(len(source)):
        event = first + i
        era = event * eras // num_events
        who = zipf_rank(unit(draw(keys[WHO], np.uint64(event))), num_sources, exponent)
        if unit(draw(keys[AGAIN], np.uint64(event))) < repeat:
            which = below(draw(keys[WHICH], np.uint64(event)), NUM_FRIENDS)
            pair = (era * num_sources + who) * NUM_FRIENDS + which
            u = unit(draw(keys[FRIEND], np.uint64(pair)))
        else:
            u = unit(draw(keys[OTHER], np.uint64(event)))
        rank = zipf_rank(u, num_targets, exponent)
        source[i] = who
        target[i] = (rank + era * (num_targets // max(eras, 1))) % num_targets


@kernel
def count_captured(source, target, batch_size, last):
    """How many (vertex, batch) pairs meet: updates that a memory of one message a batch keeps.

    source, target  integers (E,)  ends of the events, in order
    batch_size      events of a batch
    last            int64 (N,)     overwritten: scratch, the last batch of each vertex

    O(E + N). An event of a vertex with itself is one end.
    """
    last[:] = -1
    count = 0
    for e in range(len(source)):
        batch = e // batch_size
        for v in (source[e], target[e]):
            if last[v] != batch:
                last[v] = batch
                count += 1
    return count


@kernel
def sum_incidences(key, event, vertex, other):
    """Sum of hashes of (event, vertex, other), modulo 2^64: the same for the same set.

    key            uint64
    event          int64 (k,)
    vertex, other  integers (k,)
    """
    total = np.uint64(0)
    for i in range(len(event)):
        h = draw(draw(key, np.uint64(event[i])), np.uint64(vertex[i]))
        total += draw(h, np.uint64(other[i]))
    return total
