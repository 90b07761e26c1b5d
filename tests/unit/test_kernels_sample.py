"""Sampling kernels: the draws, where they lie, and what must not change them."""

import numpy as np
import pytest
from reference import sample as reference
from scipy.stats import chisquare

from batchgnn.kernels.address import addresses
from batchgnn.kernels.sample import (
    NUM_SHARES,
    Listed,
    choose,
    draw_neighbors,
    keep_others,
    locate,
)

POISON = -77


def shards_of(lists, cut):
    """In-neighbour lists of consecutive vertices as two shards cut before vertex `cut`."""
    parts = [lists[:cut], lists[cut:]]
    indptr = [np.cumsum([0, *map(len, part)], dtype=np.int64) for part in parts]
    indices = [np.array([u for row in part for u in row], np.uint32) for part in parts]
    return indptr, indices, np.array([0, cut, len(lists)], np.int64)


LISTS = {
    "no edges": [[], [], []],
    "isolated among others": [[1, 2], [], [0]],
    "double edge": [[1, 1, 1], [0], []],
    "hub": [list(range(40)), [0], [0, 1]],
}


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("cut", [0, 1, 3])
@pytest.mark.parametrize("fanout", [-1, 1, 2, 35])
def test_draw_neighbors_is_the_reference(lists, cut, fanout):
    indptr, indices, first_row = shards_of(lists, cut)
    rows = np.array([2, 0, 1, 0], np.int64)
    ids, keys = rows.astype(np.uint32), np.array([5, 6, 7, 8], np.uint64)
    degree, count = np.full(4, POISON, np.int64), np.full(4, POISON, np.int64)
    where = np.zeros(4, np.uint64)
    locate(rows, first_row, addresses(indptr), addresses(indices), 4, fanout, where, degree, count)
    assert list(zip(degree, count, strict=True)) == reference.locate(
        [lists[r] for r in rows], fanout
    )
    start = np.concatenate([[0], np.cumsum(count)])
    out, scratch = np.full(start[-1], 999, np.uint32), np.empty((NUM_SHARES, 40), np.int64)
    draw_neighbors(keys, ids, where, degree, count, start, scratch, out)
    expected = reference.draw_neighbors(keys, ids, [lists[r] for r in rows], fanout)
    np.testing.assert_array_equal(out, np.concatenate(expected))


def test_many_rows_are_all_drawn():
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 500, rng.integers(0, 12)).tolist() for _ in range(500)]
    indptr, indices, first_row = shards_of(lists, 200)
    rows = rng.permutation(500)
    ids, keys = rows.astype(np.uint64), rng.integers(0, 9, 500).astype(np.uint64)
    wide = [part.astype(np.uint64) for part in indices]
    degree, count, where = np.empty(500, int), np.empty(500, int), np.empty(500, np.uint64)
    locate(rows, first_row, addresses(indptr), addresses(wide), 8, 5, where, degree, count)
    start = np.concatenate([[0], np.cumsum(count)])
    out, scratch = np.full(start[-1], 999, np.uint64), np.empty((NUM_SHARES, 5), np.int64)
    draw_neighbors(keys, ids, where, degree, count, start, scratch, out)
    expected = reference.draw_neighbors(keys, ids, [lists[r] for r in rows], 5)
    np.testing.assert_array_equal(out, np.concatenate(expected))


@pytest.mark.parametrize(("degree", "count"), [(1, 1), (9, 3), (70, 32), (70, 33), (200, 199)])
def test_choose_is_the_reference_and_distinct(degree, count):
    for key in range(50):
        out = np.full(count, POISON, np.int64)
        choose(np.uint64(key), degree, count, out)
        assert sorted(set(out.tolist())) == sorted(out.tolist())
        assert 0 <= out.min() <= out.max() < degree
        assert out.tolist() == reference.choose(key, degree, count)


@pytest.mark.parametrize(("degree", "count"), [(12, 5), (40, 33)])
def test_every_position_is_drawn_equally_often(degree, count):
    tally = np.zeros(degree)
    out = np.empty(count, np.int64)
    for key in range(20_000):
        choose(np.uint64(key), degree, count, out)
        tally[out] += 1
    assert chisquare(tally).pvalue > 1e-4


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_keep_others_is_the_reference(lists):
    step, ids = np.array([1, 0, 1]), np.array([0, 1, 2], np.uint32)
    left_out = [{(0, 0), (0, 1)}, {(1, 0), (39, 0), (0, 2)}]
    expected = reference.keep_others(step, ids, lists, left_out)
    listed = [(v, u) for each in left_out for v, u in sorted((v, u) for u, v in each)]
    target, source = np.array(listed).T.copy()
    start = np.cumsum([0, *map(len, left_out)])
    edge_start = np.cumsum([0, *map(len, lists)])
    neighbors = np.array([u for row in lists for u in row], np.uint32)
    keep, count = np.empty(len(neighbors), np.bool_), np.full(3, POISON, np.int64)
    keep_others(step, ids, edge_start, neighbors, Listed(start, target, source), keep, count)
    assert keep.tolist() == [each for row in expected for each in row]
    assert count.tolist() == list(map(sum, expected))
