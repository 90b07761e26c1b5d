"""Minibatches: every seed once an epoch, evenly, whatever shards a rank holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.sampling.schedule import Schedule


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 30))
def test_an_epoch_visits_every_seed_once(sizes, batch_size):
    shards = [np.arange(n, dtype=np.uint32) + 100 * s for s, n in enumerate(sizes)]
    schedule = Schedule(shards, np.array(sizes), batch_size, seed=0)
    lists = schedule.shuffled(0)
    steps = [schedule.own_seeds(lists, t) for t in range(schedule.num_steps)]
    assert sorted(np.concatenate(steps)) == sorted(np.concatenate(shards))
    assert [len(step) for step in steps] == [
        schedule.num_seeds(t) for t in range(schedule.num_steps)
    ]
    assert max(map(len, steps)) <= batch_size + len(sizes)


def test_a_rank_with_fewer_shards_sees_its_part_of_the_same_minibatches():
    shards = [np.arange(20, dtype=np.uint32), np.arange(50, 77, dtype=np.uint32)]
    of_shard = np.array([20, 27])
    both = Schedule(shards, of_shard, 10, seed=1)
    second = Schedule(shards[1:], of_shard, 10, seed=1)
    for t in range(both.num_steps):
        of_both = both.own_seeds(both.shuffled(3), t)
        of_second = second.own_seeds(second.shuffled(3), t)
        np.testing.assert_array_equal(of_both[of_both >= 50], of_second)


def test_epochs_and_seeds_shuffle_differently():
    shards, of_shard = [np.arange(50, dtype=np.uint32)], np.array([50])
    orders = [
        tuple(Schedule(shards, of_shard, 50, seed).shuffled(epoch)[0])
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_no_training_vertices_is_one_empty_step():
    schedule = Schedule([np.empty(0, np.uint32)], np.array([0]), 10, seed=0)
    assert schedule.num_steps == 1
    assert len(schedule.own_seeds(schedule.shuffled(0), 0)) == 0


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_num_steps_is_the_rounded_up_quotient(batch_size):
    schedule = Schedule([], np.array([40, 60]), batch_size, seed=0)
    assert schedule.num_steps == -(-100 // batch_size)
