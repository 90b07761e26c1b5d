"""Mode averaging without ranks: what a round is, which trainer has which shards."""

import numpy as np
import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.comm.loss import Lost
from batchgnn.graph.deal import deal_shards_to
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.modes.averaging.check import dealt_again
from batchgnn.modes.averaging.rounds import Round, parse_round
from batchgnn.settings.general import Training

WRONG = [
    ({"mode": "averaging", "round": "2 weeks"}, "--round 2 weeks: give seconds, such as 120s or"),
    ({"mode": "averaging", "round": "0s"}, "--round 0s: give seconds, such as 120s or 5m, or"),
    ({"mode": "averaging", "time_limit": "4"}, "--time-limit 4: give seconds, minutes or hours"),
    ({"mode": "averaging", "time_limit": "4h", "epochs": 3}, "both say how long: leave one out"),
    ({"mode": "averaging", "time_limit": "4h", "round": "7steps"}, "is 7 steps: give --epochs"),
    ({"mode": "averaging", "server_steps": 3}, "takes none: take --average llcg, or leave it out"),
    ({"mode": "averaging", "topology": "node-shared"}, "leave it out"),
    ({"mode": "averaging", "aggregate_cache": "store"}, "take --aggregate-cache memory, or"),
    ({"mode": "averaging", "redeal": False}, "take --on-loss drop, or leave it out"),
    (
        {"mode": "averaging", "round": "2m", "straggler_deadline": 9.0},
        "rounds of 120 s end by the clock.*take --on-loss drop",
    ),
    ({"mode": "averaging", "on_loss": "drop", "evaluator": True}, "together with --evaluator"),
    ({"mode": "averaging", "on_loss": "drop", "average": "llcg"}, "together with --average llcg"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_what_cannot_be_is_said(given, said):
    with pytest.raises(ConfigError, match=said):
        resolved(settings_of(given), "multiclass")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120s", Round(seconds=120)),
        ("2.5m", Round(seconds=150)),
        ("1h", Round(seconds=3600)),
        ("500steps", Round(steps=500)),
        ("1 step", Round(steps=1)),
    ],
)
def test_a_round_is_seconds_or_steps(text, expected):
    assert parse_round(text) == expected


def test_a_time_limit_is_a_number_of_rounds_also_when_it_is_resolved_again():
    settings = settings_of(mode="averaging", round="7m", time_limit="1h")
    for _ in range(2):
        settings = resolved(settings, "multiclass")
        assert settings[Training].epochs == 9


@pytest.mark.parametrize(("trainers", "width"), [(1, 4), (2, 3), (3, 1), (5, 2)])
def test_who_has_a_shard_does_not_depend_on_the_ranks_of_a_trainer(trainers, width):
    one = deal_shards_to(23, trainers, trainers, seed=3)
    several = deal_shards_to(23, trainers, trainers * width, seed=3)
    assert (several // width == one).all()
    assert (np.bincount(several, minlength=trainers * width) > 0).all()
    counts = np.bincount(one, minlength=trainers)
    assert counts.max() - counts.min() <= 1
    assert trainers == 1 or (one != deal_shards_to(23, trainers, trainers, seed=4)).any()


def test_shards_of_lost_ranks_go_to_those_that_have_the_fewest():
    """Those that are left keep theirs, whatever is lost later, and are numbered anew."""
    ranks = deal_shards_to(22, 4, 4, seed=3)
    once = dealt_again(ranks, 3, [Lost(1, "", 5)])
    called = np.array([0, 2, 3])
    assert (called[once][ranks != 1] == ranks[ranks != 1]).all()
    twice = dealt_again(ranks, 2, [Lost(1, "", 5), Lost(0, "", 7)])
    kept = called[once] != 0
    assert (np.array([2, 3])[twice][kept] == called[once][kept]).all()
    for found, left in ((once, 3), (twice, 2)):
        counts = np.bincount(found, minlength=left)
        assert len(counts) == left
        assert counts.max() - counts.min() <= 1
