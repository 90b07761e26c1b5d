"""Shards on ranks: any number of ranks up to the number of shards."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import static_graph

from batchgnn.base.errors import StoreError
from batchgnn.graph.assign import assign_shards, heaviest_first, imbalance
from batchgnn.partition.partition import partition


def quotient(load, pairs):
    """A manifest's quotient graph from the shards' loads and {(s, t): arcs}."""
    weight = np.zeros((len(load), len(load)), np.int64)
    for (s, t), arcs in pairs.items():
        weight[s, t] = weight[t, s] = arcs
    return SimpleNamespace(
        name="graph",
        num_shards=len(load),
        shard_vertices=np.array(load) // 2,
        shard_edges=np.array(load) - np.array(load) // 2,
        quotient_indptr=np.concatenate([[0], np.cumsum((weight > 0).sum(axis=1))]),
        quotient_indices=np.nonzero(weight)[1],
        quotient_weight=weight[weight > 0],
    )


@pytest.fixture
def two_pairs():
    """Shards 0 = 2 and 1 = 3 share many arcs; every other pair shares one."""
    return quotient([10] * 4, {(0, 2): 50, (1, 3): 50, (0, 1): 1, (2, 3): 1, (0, 3): 1})


def test_shards_with_many_common_arcs_go_together(two_pairs):
    np.testing.assert_array_equal(assign_shards(two_pairs, 2), [0, 1, 0, 1])


def test_one_rank_takes_all_and_many_take_one_each(two_pairs):
    np.testing.assert_array_equal(assign_shards(two_pairs, 1), [0, 0, 0, 0])
    np.testing.assert_array_equal(assign_shards(two_pairs, 4), [0, 1, 2, 3])


def test_too_few_shards(two_pairs):
    with pytest.raises(
        StoreError,
        match=r"shards/: 4 shards cannot serve 6 ranks\. Start at most 4 ranks, or: "
        r"batchgnn partition GRAPH\.h5 SHARDS --shards 6",
    ):
        assign_shards(two_pairs, 6, "shards/")


def test_no_ranks(two_pairs):
    with pytest.raises(ValueError, match="needed at least 1"):
        assign_shards(two_pairs, 0)


@settings(deadline=None)
@given(st.lists(st.integers(2, 1000), min_size=1, max_size=20), st.data())
def test_every_rank_gets_a_shard_and_loads_are_near_greedy(load, data):
    pair = st.tuples(*[st.integers(0, len(load) - 1)] * 2).filter(lambda p: p[0] != p[1])
    pairs = (
        data.draw(st.dictionaries(pair, st.integers(1, 10**12), max_size=30))
        if len(load) > 1
        else {}
    )
    num_ranks = data.draw(st.integers(1, len(load)))
    manifest = quotient(load, pairs)
    rank = assign_shards(manifest, num_ranks)
    assert rank.dtype == np.int32
    assert len(rank) == len(load)
    np.testing.assert_array_equal(np.unique(rank), np.arange(num_ranks))
    _, first = np.unique(rank, return_index=True)
    assert (np.diff(first) > 0).all()  # ranks are numbered by their first shard
    load = np.array(load)
    greedy = imbalance(load, heaviest_first(load, num_ranks), num_ranks)
    assert imbalance(load, rank, num_ranks) <= max(1.2, 1.05 * greedy) + 1e-9
    np.testing.assert_array_equal(assign_shards(manifest, num_ranks), rank)


def test_greedy_takes_the_heaviest_first():
    np.testing.assert_array_equal(heaviest_first(np.array([1, 5, 4, 3]), 2), [0, 0, 1, 1])
    np.testing.assert_array_equal(heaviest_first(np.array([100, 0, 0]), 3), [0, 1, 2])


def test_one_partitioning_of_a_real_graph_serves_any_number_of_ranks(tmp_path):
    m = partition(static_graph("pubmed"), tmp_path / "s", "metis", 16)
    load = m.shard_vertices + m.shard_edges
    for num_ranks in range(1, 17):
        rank = assign_shards(m, num_ranks)
        assert len(np.unique(rank)) == num_ranks
        fair = -(-16 // num_ranks) * num_ranks / 16  # whole shards: ceil(16 / P) on the fullest
        assert imbalance(load, rank, num_ranks) <= 1.1 * fair
