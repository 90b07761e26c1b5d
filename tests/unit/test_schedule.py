"""Minibatches: every seed once an epoch, evenly, whatever shards a rank holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.sampling.schedule import Schedule, most_seeds, seats

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=40)


def schedule_of(sizes, batch_size, own=None, seed=0):
    """Of the own shards, by default all; a shard's seeds are its number times 100, and upwards."""
    own = np.arange(len(sizes)) if own is None else np.asarray(own)
    seeds = [np.arange(sizes[s], dtype=np.uint32) + 100 * s for s in own]
    return Schedule(seeds, own, np.array(sizes), batch_size, seed)


def steps_of(schedule, epoch=0):
    lists = schedule.shuffled(epoch)
    return [schedule.own_seeds(lists, step) for step in range(schedule.num_steps)]


@given(COUNTS, st.integers(1, 60))
def test_an_epoch_visits_every_seed_once(sizes, batch_size):
    schedule = schedule_of(sizes, batch_size)
    seen = np.concatenate(steps_of(schedule))
    assert sorted(seen) == sorted(np.concatenate(schedule.shard_seeds))


@given(COUNTS, st.integers(1, 60))
def test_every_step_has_batch_size_seeds_and_the_last_what_is_left(sizes, batch_size):
    schedule = schedule_of(sizes, batch_size)
    found = [len(step) for step in steps_of(schedule)]
    assert found[:-1] == [batch_size] * (len(found) - 1)
    assert found[-1] == sum(sizes) - batch_size * (len(found) - 1)
    assert found == [schedule.num_seeds(step) for step in range(schedule.num_steps)]


@given(COUNTS, st.integers(1, 60), st.data())
def test_a_rank_sees_its_part_of_the_same_minibatches_and_no_more_than_planned(
    sizes, batch_size, data
):
    own = data.draw(
        st.lists(st.sampled_from(range(len(sizes))), unique=True, min_size=1).map(sorted)
    )
    mine = steps_of(schedule_of(sizes, batch_size, own), 3)
    for part, all_of in zip(mine, steps_of(schedule_of(sizes, batch_size), 3), strict=True):
        np.testing.assert_array_equal(part, all_of[np.isin(all_of // 100, own)])
    assert max(map(len, mine)) <= most_seeds(np.array(sizes), np.array(own), batch_size)


@given(COUNTS.filter(sum), st.integers(1, 60))
def test_a_step_takes_of_each_shard_what_it_has_of_all_seeds(sizes, batch_size):
    schedule, counts = schedule_of(sizes, batch_size), np.array(sizes)
    for step in range(schedule.num_steps):
        fair = counts * step * batch_size / counts.sum()
        off = np.abs(seats(counts, step * batch_size) - fair)
        assert (off <= 1.25 + len(counts) * counts / counts.sum()).all()


def test_neighbouring_shards_take_turns_where_a_step_has_fewer_seeds_than_there_are_shards():
    counts = np.full(32, 30)
    dealt = np.diff([seats(counts, 16 * step) for step in range(61)], axis=0)
    halves = dealt[:, :16].sum(axis=1)
    assert halves.min() >= 6
    assert halves.max() <= 10


def test_shards_of_a_billion_seeds_are_dealt_as_exactly():
    counts = np.array([2_000_000_000, 1, 1_999_999_999])
    before = [seats(counts, taken) for taken in (1 << 31, (1 << 31) + 1, 4_000_000_000)]
    assert [int(each.sum()) for each in before] == [1 << 31, (1 << 31) + 1, 4_000_000_000]
    assert (np.diff(before, axis=0) >= 0).all()
    np.testing.assert_array_equal(before[-1], counts)


def test_epochs_and_seeds_shuffle_differently():
    orders = [
        tuple(schedule_of([50], 50, seed=seed).shuffled(epoch)[0])
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_no_training_vertices_is_one_empty_step():
    schedule = schedule_of([0], 10)
    assert schedule.num_steps == 1
    assert len(schedule.own_seeds(schedule.shuffled(0), 0)) == 0


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_num_steps_is_the_rounded_up_quotient(batch_size):
    schedule = schedule_of([40, 60], batch_size)
    assert schedule.num_steps == -(-100 // batch_size)
