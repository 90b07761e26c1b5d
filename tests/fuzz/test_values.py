"""Options of training, and values in Slurm's scripts, drawn by Hypothesis from a seed."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz import values
from fuzz.count import SEED, few, many
from fuzz.oracle import assert_sound

KINDS = {
    "options": (values.training_options, values.options_case),
    "slurm": (values.pipelines, values.slurm_case),
}


def made(kind, count, folder):
    """So many inputs of a kind, each in a folder of its own."""
    strategy, make = KINDS[kind]
    all_drawn = []

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
        all_drawn.append(drawn)

    each()
    for number, drawn in enumerate(all_drawn):
        yield f"{kind} {SEED} {number}", make(drawn, Path(tempfile.mkdtemp(dir=folder)))


@pytest.mark.timeout(900)  # the first may train and compile kernels
@pytest.mark.parametrize("kind", KINDS)
def test_some_values_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, made(kind, few(kind), tmp_path), worker)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_values_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, made(kind, many(kind), tmp_path), worker)
