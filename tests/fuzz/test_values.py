"""Options of training, and values in Slurm's scripts, drawn by Hypothesis from a seed."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz import values
from fuzz.count import SEED, few, many
from fuzz.oracle import findings

KINDS = {
    "options": (values.training_options, values.options_case),
    "slurm": (values.pipelines, values.slurm_case),
}


def assert_sound(kind, count, worker, folder):
    """Make and judge so many inputs of a kind."""
    strategy, make = KINDS[kind]
    found, done = [], Counter()

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy())
    def each(drawn):
        place = Path(tempfile.mkdtemp(dir=folder))
        case = make(drawn, place)
        done.update(step.must for step in case.steps)
        found.extend(findings(case, worker))

    each()
    print(f"{kind}: {count} inputs, commands {dict(done)}, {worker.num_started} processes")
    assert not found, f"{len(found)} findings\n" + "\n".join(found[:40])


@pytest.mark.timeout(900)  # the first may train and compile kernels
@pytest.mark.parametrize("kind", KINDS)
def test_some_values_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, few(kind), worker, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_values_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, many(kind), worker, tmp_path)
