"""Inputs varied and damaged in known ways, seeded: what must be refused is, what need not is right.

`count.py` says how many; a finding is made again by `one.py`.
"""

import pytest

from fuzz.count import SEED, few, many
from fuzz.kinds import KINDS, draws
from fuzz.oracle import assert_sound


def made(kind, count, folder):
    """The inputs 0, 1, ... of a kind, each in a folder of its own."""
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        yield f"{kind} {SEED} {number}", KINDS[kind](draws(kind, SEED, number), place)


@pytest.mark.timeout(900)  # the first may train and compile kernels
@pytest.mark.parametrize("kind", KINDS)
def test_some_inputs_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, made(kind, few(kind), tmp_path), worker)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_inputs_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, made(kind, many(kind), tmp_path), worker)
