"""Layers on stages: the slowest stage takes no more than in any other parting."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from batchgnn.modes.pipeline.parting import layer_seconds, least_slowest, seconds_of
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.nn.work import whole_graph_work
from batchgnn.plan.rates import ASSUMED
from batchgnn.plan.whole import rank_seconds


def slowest(seconds, bounds):
    return max(sum(seconds[a:b]) for a, b in pairwise(bounds))


@pytest.mark.parametrize("num_stages", [1, 2, 3, 6])
def test_no_parting_has_a_faster_slowest_stage(num_stages):
    rng = np.random.default_rng(0)
    for _ in range(20):
        seconds = rng.exponential(size=6).tolist()
        bounds = least_slowest(seconds, num_stages)
        assert (bounds[0], bounds[-1], np.diff(bounds).min() >= 1) == (0, 6, True)
        every = [[0, *cuts, 6] for cuts in combinations(range(1, 6), num_stages - 1)]
        best = min(slowest(seconds, each) for each in every)
        assert slowest(seconds, bounds) == pytest.approx(best)


def test_equal_layers_are_parted_evenly_and_an_expensive_one_stands_alone():
    np.testing.assert_array_equal(least_slowest([1.0] * 8, 4), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(least_slowest([5.0, 1, 1, 1, 1, 1], 2), [0, 1, 6])


@pytest.mark.parametrize("model", ["sage", "gat", "gcnii"])
def test_seconds_are_those_that_the_planner_assumes(model):
    """GCNII's linear layers count with the convolutions beside them."""
    spec = ModelSpec(model=model, layers=4, hidden=16)
    made = make_model(spec, 200, 7)
    works = whole_graph_work(made, False, 1)
    planned = [sum(rank_seconds([each], 100, 900, 1, ASSUMED).values()) for each in works]
    assert [seconds_of(each, 100, 900) for each in works] == pytest.approx(planned)
    found = layer_seconds(made, False, 100, 900)
    assert (len(found), sum(found)) == (4, pytest.approx(sum(planned)))
