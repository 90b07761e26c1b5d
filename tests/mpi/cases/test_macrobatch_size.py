"""How many minibatches a macrobatch has: as set, or as a budget holds, in growing groups."""

import itertools

import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.modes.macrobatch.size import EDGE_BYTES, MOST, SLACK, MacrobatchSize

MINIBATCH_BYTES = 1000 * EDGE_BYTES


def measured(comm, budget, *, overlap=False):
    """After one minibatch of MINIBATCH_BYTES."""
    size = MacrobatchSize("auto", budget, overlap=overlap)
    size.agree(comm)
    size.record(1, 900, 100 * EDGE_BYTES)
    size.agree(comm)
    return size


def lengths(groups):
    """Their lengths; asserts that they follow each other."""
    assert all(a.stop == b.start for a, b in itertools.pairwise(groups))
    return [len(group) for group in groups]


def test_a_number_is_kept(comm):
    size = MacrobatchSize(3, 1, overlap=True)
    size.record(3, 10**9, 10**9)
    size.agree(comm)
    assert size.value == 3
    assert size.groups(2, 10) == [range(2, 5), range(5, 8), range(8, 10)]


def test_the_first_step_is_measured_alone(comm):
    size = MacrobatchSize("auto", 1 << 40, overlap=True)
    size.agree(comm)
    assert size.groups(5, 100) == [range(5, 6)]
    size.record(1, 1000, 0)
    size.agree(comm)
    assert size.value == MOST
    assert lengths(size.groups(6, 60)) == [1, 2, 4, 8, 16, 16, 7]
    assert size.groups(60, 60) == []


@pytest.mark.parametrize("fitting", [1, 2, 5, 7])
@pytest.mark.parametrize("overlap", [False, True])
def test_as_many_as_the_budget_holds(comm, fitting, overlap):
    """With overlap, blocks of three macrobatches and rows of two."""
    minibatch = (900 * 3 + 100 * 2) * EDGE_BYTES if overlap else MINIBATCH_BYTES
    budget = int(fitting * minibatch * SLACK)
    assert measured(comm, budget, overlap=overlap).value == fitting
    assert measured(comm, budget - 1, overlap=overlap).value == max(1, fitting - 1)


def test_larger_macrobatches_say_more_than_smaller(comm):
    """Shared rows make a minibatch of a large macrobatch cheaper."""
    size = measured(comm, int(8 * MINIBATCH_BYTES * SLACK))
    assert size.value == 8
    for edges in (8 * 400, 8 * 500):
        size.record(8, edges, 0)
    size.record(3, 3 * 900, 0)
    size.agree(comm)
    assert size.value == 16


def test_ranks_agree_on_the_smallest(comm):
    size = measured(comm, int((2 + comm.rank) * MINIBATCH_BYTES * SLACK))
    assert size.value == 2


@pytest.mark.parametrize(
    "wrong", [{"macrobatch": 0}, {"macrobatch": -3}, {"macrobatch_memory": "lots"}]
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        resolved(settings_of(wrong), "multiclass")
