"""Vertices that an edge is compared with: drawn by keys, so that they are the same everywhere.

An edge u -> v is the number u x num_vertices + v, as `store.links` has it.
"""

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key

ATTEMPTS = 16
NONE = -1


def training_negatives(
    edges: np.ndarray, count: int, num_vertices: int, key: tuple[int, int, int]
) -> np.ndarray:
    """int64 (count, n): for each edge, any vertices in the place of its target.

    key: seed, epoch, step
    """
    seed, epoch, step = key
    return _drawn(edges, count, num_vertices, (seed, Purpose.NEGATIVES, epoch, step))


def scoring_negatives(
    edges: np.ndarray, count: int, num_vertices: int, seed: int, known: np.ndarray
) -> np.ndarray:
    """int64 (count, n): vertices that each edge's source is joined to by no edge of any part.

    known: int64 (m,), ascending, all edges out of the sources, as numbers. A vertex is drawn again
    until it is not the source and not joined to it; `NONE` where that does not succeed.
    """
    source = edges // num_vertices
    shape = (count, len(edges))
    found, left = np.full(shape, NONE, np.int64), np.ones(shape, bool)
    for attempt in range(ATTEMPTS):
        drawn = _drawn(edges, count, num_vertices, (seed, Purpose.SCORING, attempt, 0))
        good = left & (drawn != source) & ~_is_in(source * num_vertices + drawn, known)
        found[good] = drawn[good]
        left &= ~good
        if not left.any():
            break
    return found


def _drawn(
    edges: np.ndarray, count: int, num_vertices: int, key: tuple[int, int, int, int]
) -> np.ndarray:
    bits = np.empty((count, len(edges)), np.uint64)
    for k, row in enumerate(bits):
        fill_draws(np.uint64(stream_key(*key, k)), edges, row)
    below = ((bits >> np.uint64(32)) * np.uint64(num_vertices)) >> np.uint64(32)
    return below.astype(np.int64)


def _is_in(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool, shaped as the numbers: whether each is one of `known`, which ascend."""
    if not len(known):
        return np.zeros(numbers.shape, bool)
    place = np.searchsorted(known, numbers)
    return known[np.minimum(place, len(known) - 1)] == numbers
