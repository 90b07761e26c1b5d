"""Sampling kernels: the draws, where they lie, and what must not change them."""

import numpy as np
import pytest
from reference import choose as choose_reference
from reference import draw_neighbors as draw_neighbors_reference
from scipy.stats import chisquare

from batchgnn.kernels.address import addresses
from batchgnn.kernels.sample import choose, draw_neighbors, locate

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
    begin, degree, count = (np.full(4, POISON, np.int64) for _ in range(3))
    locate(rows, first_row, addresses(indptr), fanout, begin, degree, count)
    np.testing.assert_array_equal(degree, [len(lists[r]) for r in rows])
    out, position = np.full(count.sum(), 999, np.uint32), np.full(count.sum(), POISON, np.int64)
    draw_neighbors(
        keys, ids, rows, first_row, addresses(indices), begin, degree, count,
        np.empty(64, np.int64), out, position,
    )  # fmt: skip
    expected = draw_neighbors_reference(keys, ids, [lists[r] for r in rows], fanout)
    np.testing.assert_array_equal(out, np.concatenate(expected))
    start = 0
    for i, r in enumerate(rows):
        shard = int(r >= cut) if 0 < cut < 3 else int(cut == 0)
        places = position[start : start + count[i]]
        np.testing.assert_array_equal(indices[shard][places], out[start : start + count[i]])
        start += count[i]


@pytest.mark.parametrize(("degree", "count"), [(1, 1), (9, 3), (70, 32), (70, 33), (200, 199)])
def test_choose_is_the_reference_and_distinct(degree, count):
    for key in range(50):
        out = np.full(count, POISON, np.int64)
        choose(np.uint64(key), degree, count, out)
        assert sorted(set(out.tolist())) == sorted(out.tolist())
        assert 0 <= out.min() <= out.max() < degree
        assert out.tolist() == choose_reference(key, degree, count)


@pytest.mark.parametrize(("degree", "count"), [(12, 5), (40, 33)])
def test_every_position_is_drawn_equally_often(degree, count):
    tally = np.zeros(degree)
    out = np.empty(count, np.int64)
    for key in range(20_000):
        choose(np.uint64(key), degree, count, out)
        tally[out] += 1
    assert chisquare(tally).pvalue > 1e-4
