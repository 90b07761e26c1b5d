"""Relabelling and requests, against dictionaries and lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import relabel as reference

from batchgnn.kernels.relabel import (
    Table,
    find_or_add,
    place_rows,
    relabel,
    relabel_blocks,
    renumber_fetched,
)
from batchgnn.kernels.requests import (
    Blocks,
    copy_segments,
    count_owners,
    post_requests,
    read_replies,
)

small_ids = st.lists(st.integers(0, 30), max_size=60)


def table(entries, dtype=np.uint32, *, dense=False):
    """Hashed, with entries of another day in it; or a slot for each vertex."""
    size = 64 if dense else 1 << max(4, (2 * entries).bit_length())
    idents, marks = np.full(0 if dense else size, 3, dtype), np.full(size, (6 << 32) + 5, np.int64)
    return Table(idents, marks, STAMP)


STAMP = 7
kinds_of_table = pytest.mark.parametrize("dense", [False, True], ids=["hashed", "dense"])


@given(st.lists(st.integers(0, 2**40), unique=True, max_size=20), small_ids)
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@kinds_of_table
def test_relabel_numbers_in_the_order_of_first_appearance(dense, dtype, first, neighbors):
    first = np.unique(np.array(first, np.uint64) % np.uint64(64)).astype(dtype)
    neighbors = np.array(neighbors, dtype)
    ids = np.full(len(first) + len(neighbors), 999, dtype)
    ids[: len(first)] = first
    empty = table(len(ids), dtype, dense=dense)
    for row, ident in enumerate(first):
        assert find_or_add(ident, *empty, row) == row
    indices = np.full(len(neighbors), -77, np.int32)
    count = relabel(neighbors, empty, ids, len(first), indices)
    expected_ids, expected_indices = reference.relabel(neighbors, first)
    assert ids[:count].tolist() == expected_ids
    assert indices.tolist() == expected_indices


def test_find_or_add_survives_a_table_of_colliding_ids():
    empty = Table(np.zeros(16, np.uint32), np.zeros(16, np.int64), STAMP)
    rows = [find_or_add(np.uint32(i), *empty, i) for i in range(16)]
    again = [find_or_add(np.uint32(i), *empty, 99) for i in range(16)]
    assert rows == again == list(range(16))


@st.composite
def minibatches(draw):
    """Targets of each of some minibatches, and the neighbours of each, as replies in any order."""
    targets = draw(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=6), max_size=5))
    lists = [[draw(small_ids) for _ in each] for each in targets]
    total = sum(map(len, targets))
    return targets, lists, draw(st.permutations(range(total)))


@given(minibatches())
@kinds_of_table
@pytest.mark.parametrize("num_tables", [1, 3])
def test_blocks_are_numbered_each_on_its_own(dense, num_tables, drawn):
    targets, lists, order = drawn
    start = np.cumsum([0, *map(len, targets)])
    ids = np.array([v for each in targets for v in each], np.uint32)
    request, flat = np.array(order, np.int64), [row for each in lists for row in each]
    replies = [flat[i] for i in np.argsort(request)]
    count = np.array([len(row) for row in replies], np.int64)
    indptr, degree = np.full(len(ids) + len(targets), -77), np.full(len(ids), -77)
    read_replies(start, request, count, 10 * count, indptr, degree)
    assert degree.tolist() == [10 * len(row) for row in flat]
    edges = [sum(map(len, each)) for each in lists]
    edge_begin, edge_start = np.cumsum([0, *edges]), np.cumsum([0, *count])
    neighbors = np.array([u for row in replies for u in row], np.uint32)
    sources, num_sources = np.full(len(ids) + sum(edges), 999, np.uint32), np.full(len(targets), -7)
    indices, places = np.full(sum(edges), -77, np.int32), np.full(sum(edges), -77.0, np.float32)
    each = [table(400, dense=dense) for _ in range(num_tables)]
    idents, marks = (np.array([one[k] for one in each]) for k in (0, 1))
    blocks, tables = Blocks(start, request, indptr, edge_begin), Table(idents, marks, STAMP)
    relabel_blocks(blocks, ids, edge_start, neighbors, tables, sources, num_sources, indices)
    copy_segments(blocks, edge_start, neighbors.astype(np.float32), places)
    for m, (mine, rows) in enumerate(zip(targets, lists, strict=True)):
        expected_ids, expected = reference.relabel([u for row in rows for u in row], mine)
        first = start[m] + edge_begin[m]
        assert sources[first : first + num_sources[m]].tolist() == expected_ids
        assert indices[edge_begin[m] : edge_begin[m + 1]].tolist() == expected
        lengths = np.diff(indptr[start[m] + m : start[m + 1] + m + 1])
        assert lengths.tolist() == [len(row) for row in rows]
    assert places.tolist() == [u for row in flat for u in row]


def test_place_rows_and_renumber_fetched():
    ids, owner = np.array([4, 9, 8, 9], np.uint32), np.array([0, 1, 2, 1], np.int32)
    local_row, rows = np.array([40, 90, 80, 90]), np.full(4, -77, np.int64)
    remote = np.zeros(4, np.uint32)
    touched = np.zeros(50, np.uint8)
    count = place_rows(ids, owner, local_row, 0, table(4), remote, 0, rows, touched)
    assert np.flatnonzero(touched).tolist() == [40]
    assert remote[:count].tolist() == [9, 8]
    assert rows.tolist() == [40, -1, -2, -1]
    renumber_fetched(rows, np.array([1, 0]))
    assert rows.tolist() == [40, -2, -1, -2]


@given(st.lists(st.integers(0, 3), max_size=40))
def test_requests_reach_their_owner_in_order(owners):
    owner, ids = np.array(owners, np.int32), np.arange(100, 100 + len(owners), dtype=np.uint32)
    counts = np.full(4, -77, np.int64)
    count_owners(owner, counts)
    assert counts.tolist() == [owners.count(p) for p in range(4)]
    out, request = np.zeros(len(ids), np.uint32), np.full(len(ids), -77, np.int64)
    post_requests(ids, owner, np.cumsum(counts) - counts, out, request)
    assert out.tolist() == [i for p in range(4) for i, o in zip(ids, owner, strict=True) if o == p]
    assert (out[request] == ids).all()
