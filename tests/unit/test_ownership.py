"""Who holds a vertex, and in which row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import ownership as reference

from batchgnn.graph.ownership import Ownership


@pytest.fixture
def five_shards():
    """shard   0    1  2  3      4
    ids     0 1 2   3  4  5 6    7 8
    rank    1       0  1  0      1     so rank 0 holds 3 5 6, rank 1 holds 0 1 2 4 7 8
    """
    return Ownership(np.array([0, 3, 4, 5, 7, 9]), np.array([1, 0, 1, 0, 1]))


def test_own_ids_go_shard_after_shard(five_shards):
    np.testing.assert_array_equal(five_shards.own_ids(0), [3, 5, 6])
    np.testing.assert_array_equal(five_shards.own_ids(1), [0, 1, 2, 4, 7, 8])
    np.testing.assert_array_equal(five_shards.own_shards(1), [0, 2, 4])
    assert five_shards.num_own(1) == 6
    assert five_shards.num_own(2) == 0
    assert len(five_shards.own_ids(2)) == 0


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.int64])
def test_local_rows_count_a_ranks_own_vertices(five_shards, dtype):
    for rank in (0, 1):
        ids = five_shards.own_ids(rank).astype(dtype)
        np.testing.assert_array_equal(five_shards.local_rows(ids), np.arange(len(ids)))
        np.testing.assert_array_equal(five_shards.owner(ids), np.full(len(ids), rank))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9).filter(any), st.randoms())
def test_kernels_are_the_reference(sizes, random):
    offset = np.concatenate([[0], np.cumsum(sizes)])
    ranks = np.array([random.randrange(3) for _ in sizes], np.int32)
    own = Ownership(offset, ranks)
    ids = np.array([random.randrange(sum(sizes)) for _ in range(20)], np.uint32)
    wanted = {name: np.empty(20, np.int64) for name in ("shard", "owner", "row")}
    reference.shards_of(ids, offset, wanted["shard"])
    reference.owners_of(ids, offset, ranks, wanted["owner"])
    reference.local_rows_of(ids, offset, own.base, wanted["row"])
    np.testing.assert_array_equal(own.shard_of(ids), wanted["shard"])
    np.testing.assert_array_equal(own.owner(ids), wanted["owner"])
    np.testing.assert_array_equal(own.local_rows(ids), wanted["row"])


def test_ids_above_32_bits_keep_their_last_digit():
    own = Ownership(np.array([0, 2**60 + 1, 2**61]), np.array([1, 0]))
    ids = np.array([2**60, 2**60 + 1, 2**60 + 2], np.uint64)
    np.testing.assert_array_equal(own.shard_of(ids), [0, 1, 1])
    np.testing.assert_array_equal(own.local_rows(ids), [2**60, 0, 1])


def test_offsets_must_fit_the_shards():
    with pytest.raises(ValueError, match="2 offsets for 2 shards"):
        Ownership(np.array([0, 1]), np.array([0, 0]))
