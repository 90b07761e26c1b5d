"""How fast a batch of events finds its recent neighbours and the distinct states that it needs.

Beside what is asked for: 5 million neighbours a second a core; `make bench`.
"""

import numba
import numpy as np
import pytest
from bench.machine import median_seconds, show

from batchgnn.kernels.recent import place_states, recent_neighbors

pytestmark = pytest.mark.slow

NUM_VERTICES, NUM_EVENTS, RECENT, EVENTS = 10_000, 200_000, 10, 600
WANTED = 5e6


def test_neighbors_are_found_and_told_apart():
    rng = np.random.default_rng(0)
    ends = (NUM_VERTICES * rng.random((2, NUM_EVENTS)) ** 2).astype(np.int64)
    vertex, event = ends.ravel(), np.tile(np.arange(NUM_EVENTS), 2)
    order = np.lexsort((event, vertex))
    indptr = np.searchsorted(vertex[order], np.arange(NUM_VERTICES + 1))
    entries = indptr, ends[::-1].ravel()[order], event[order]
    mail = np.where(np.diff(indptr) > 0, 1, -1)
    slot = np.full(NUM_VERTICES, -1, np.int32)
    met = np.empty((2, 3 * EVENTS, RECENT), np.int64)
    rows = np.empty(3 * EVENTS, np.int32), np.empty((3 * EVENTS, RECENT), np.int32)
    member = np.empty(1 + 3 * EVENTS * (RECENT + 1), np.int64)
    batches = []
    for first in range(NUM_EVENTS // 2, NUM_EVENTS, EVENTS):
        batch = np.arange(first, min(first + EVENTS, NUM_EVENTS))
        roots = np.concatenate([*ends[:, batch], rng.integers(0, NUM_VERTICES, len(batch))])
        batches += [(roots, np.tile(batch, 3))] * (len(batch) == EVENTS)

    def place():
        found = 0
        for roots, before in batches:
            recent_neighbors(*entries, roots, before, *met)
            place_states(roots, met[0], mail, slot, *rows, member)
            found += np.count_nonzero(met[0] >= 0)
        return found

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        seconds = median_seconds(place)
    finally:
        numba.set_num_threads(threads)
    found = place()
    show("neighbours of batches", seconds, found / WANTED, f"{found / seconds / 1e6:.1f} M/s")
    assert found / seconds >= WANTED
