"""Minimum vertex covers: every edge is covered, by as few vertices as brute force finds."""

from itertools import combinations

import numpy as np
import pytest
from blocks import csr_from
from checks import poison
from reference import cover as reference

from batchgnn.kernels.cover import reach_alternating
from batchgnn.operators.cover import minimum_cover

GRAPHS = {  # (source, target) pairs of 4 sources and 5 targets; every source has an edge
    "a matching": [(0, 0), (1, 1), (2, 2), (3, 3)],
    "one target": [(u, 0) for u in range(4)],
    "a star from each side": [(0, 0), (0, 1), (0, 2), (1, 4), (2, 4), (3, 4), (0, 4)],
    "double edge": [(0, 0), (0, 0), (1, 0), (2, 0), (3, 1)],
    "all": [(u, v) for u in range(4) for v in range(5)],
}


def by_source(pairs, num_sources):
    return csr_from([(v, u) for u, v in pairs], num_sources)


def fewest(pairs, num_sources):
    """The size of a smallest cover, by trying all sets of sources."""
    sets = (some for k in range(num_sources + 1) for some in combinations(range(num_sources), k))
    return min(len(some) + len({v for u, v in pairs if u not in some}) for some in sets)


def random_pairs(seed, num_sources, num_targets):
    rng = np.random.default_rng(seed)
    sources = np.concatenate([np.arange(num_sources), rng.integers(0, num_sources, 4)])
    targets = (num_targets * rng.random(len(sources)) ** 2).astype(int)
    return list(zip(sources.tolist(), targets.tolist(), strict=True))


@pytest.mark.parametrize("pairs", GRAPHS.values(), ids=GRAPHS)
def test_cover_is_a_smallest_one(pairs):
    holds(pairs, 4, 5)


@pytest.mark.parametrize("seed", range(20))
def test_cover_of_a_random_graph_is_a_smallest_one(seed):
    holds(random_pairs(seed, 7, 5), 7, 5)


def holds(pairs, num_sources, num_targets):
    chosen, size = minimum_cover(*by_source(pairs, num_sources), num_targets)
    summed = {v for u, v in pairs if not chosen[u]}
    assert chosen.sum() + len(summed) == size == fewest(pairs, num_sources)


def test_no_sources_have_an_empty_cover():
    chosen, size = minimum_cover(np.zeros(1, np.int64), np.empty(0, np.int32), 3)
    assert chosen.shape == (0,)
    assert size == 0


@pytest.mark.parametrize("seed", range(3))
def test_alternating_paths_are_those_of_the_reference(seed):
    pairs = random_pairs(seed, 7, 5)
    match, inverse = np.full(7, -1, np.int32), np.full(5, -1, np.int32)
    for u, v in pairs[seed:]:  # any matching, as first comes first served
        if match[u] < 0 and inverse[v] < 0:
            match[u], inverse[v] = v, u
    edges, found = by_source(pairs, 7), []
    for way in (reach_alternating, reference.reach_alternating):
        reached = poison(7, bool)
        way(*edges, match, inverse, reached, poison(7, np.int32))
        found.append(reached)
    np.testing.assert_array_equal(*found)
