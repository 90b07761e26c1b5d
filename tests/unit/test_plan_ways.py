"""`--ways auto`: which slices, slots and copies a number of ranks is given."""

import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.plan.choose_ways import SIZES, saturating_batch
from batchgnn.plan.ways import plan_ways


@pytest.mark.parametrize(
    ("ranks", "per_node", "most", "saturating", "copies_per_node", "expected"),
    [
        (32, 8, 3200, 1600, 2, (2, 2, 8)),  # DistTGL, section 3.3
        (1, 1, 600, 200, 5, (1, 1, 1)),
        (4, 4, 600, 200, 9, (2, 1, 2)),  # 3 slices do not divide 4 ranks
        (4, 4, 600, 200, 0, (2, 2, 1)),  # not one copy fits a node: it is dealt
        (6, 3, 100, 200, 2, (1, 2, 3)),
        (8, 4, 10**6, 100, 1, (8, 1, 1)),
    ],
)
def test_slices_come_first_then_copies_then_slots(
    ranks, per_node, most, saturating, copies_per_node, expected
):
    assert plan_ways(ranks, per_node, most, saturating, copies_per_node) == expected


def test_a_batch_saturates_where_a_larger_one_is_hardly_quicker():
    assert saturating_batch(lambda size: 1 + 20 / size) == 200
    assert saturating_batch(lambda size: 1.0) == SIZES[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lost_updates": 0.5}, "--lost-updates is of --ways auto"),
        ({"eval_negatives_file": "n.npy", "eval_negatives": 5}, "leave --eval-negatives out"),
    ],
)
def test_options_that_would_not_be_read_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        resolved(settings_of(mode="temporal", **options), "events")
