"""Relabelling, requests and gathering: against dictionaries and fancy indexing."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.kernels.relabel import (
    add_distinct,
    find_or_add,
    place_rows,
    relabel,
    relabel_rows,
    renumber_fetched,
)
from batchgnn.kernels.requests import copy_segments, count_owners, post_requests, read_replies

small_ids = st.lists(st.integers(0, 30), max_size=60)


def table(entries, dtype=np.uint32):
    size = 1 << max(4, (2 * entries).bit_length())
    return np.full(size, 12345, dtype), np.full(size, -1, np.int32)


@given(st.lists(st.integers(0, 2**40), unique=True, max_size=20), small_ids)
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_relabel_numbers_in_the_order_of_first_appearance(dtype, first, neighbors):
    first = np.unique(np.array(first, np.uint64) % np.uint64(64)).astype(dtype)
    neighbors = np.array(neighbors, dtype)
    ids = np.full(len(first) + len(neighbors), 999, dtype)
    ids[: len(first)] = first
    table_id, table_row = table(len(ids), dtype)
    add_distinct(ids, len(first), table_id, table_row)
    indices = np.full(len(neighbors), -77, np.int32)
    count = relabel(neighbors, table_id, table_row, ids, len(first), indices)
    expected_ids, expected_indices = reference.relabel(neighbors, first)
    assert ids[:count].tolist() == expected_ids
    assert indices.tolist() == expected_indices


def test_find_or_add_survives_a_table_of_colliding_ids():
    table_id, table_row = np.zeros(16, np.uint32), np.full(16, -1, np.int32)
    rows = [find_or_add(np.uint32(i), table_id, table_row, np.int32(i)) for i in range(16)]
    again = [find_or_add(np.uint32(i), table_id, table_row, np.int32(99)) for i in range(16)]
    assert rows == again == list(range(16))


def test_relabel_rows_takes_each_request_from_its_place():
    edge_start, neighbors = np.array([0, 2, 2, 5]), np.array([7, 8, 5, 7, 9], np.uint32)
    request, indptr = np.array([2, 0]), np.array([0, 3, 5])
    ids = np.array([1, 5, 0, 0, 0, 0, 0], np.uint32)
    table_id, table_row = table(7)
    add_distinct(ids, 2, table_id, table_row)
    indices = np.full(5, -77, np.int32)
    count = relabel_rows(
        request, edge_start, neighbors, table_id, table_row, ids, 2, indptr, indices
    )
    assert ids[:count].tolist() == [1, 5, 7, 9, 8]
    assert indices.tolist() == [1, 2, 3, 2, 4]  # 5 7 9 of request 2, then 7 8 of request 0


def test_place_rows_and_renumber_fetched():
    ids, owner = np.array([4, 9, 8, 9], np.uint32), np.array([0, 1, 2, 1], np.int32)
    local_row, rows = np.array([40, 90, 80, 90]), np.full(4, -77, np.int64)
    remote, (table_id, table_row) = np.zeros(4, np.uint32), table(4)
    count = place_rows(ids, owner, local_row, 0, table_id, table_row, remote, 0, rows)
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


def test_read_replies_and_copy_segments():
    request, count, degree = np.array([2, 0]), np.array([1, 5, 3]), np.array([4, 5, 6])
    indptr, target_degree = np.full(3, -77), np.full(2, -77)
    read_replies(request, count, degree, indptr, target_degree)
    assert indptr.tolist() == [0, 3, 4]
    assert target_degree.tolist() == [6, 4]
    values, out = np.arange(9, dtype=np.float32), np.full(4, np.nan, np.float32)
    copy_segments(request, np.array([0, 1, 6, 9]), values, indptr, out)
    assert out.tolist() == [6, 7, 8, 0]
