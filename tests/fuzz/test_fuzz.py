"""Inputs varied and damaged in known ways, seeded: what must be refused is, what need not is right.

`count.py` says how many; a finding is made again by `one.py`.
"""

from collections import Counter

import pytest

from fuzz.count import SEED, few, many
from fuzz.kinds import KINDS, draws
from fuzz.oracle import findings


def assert_sound(kind, count, worker, folder):
    """Make and judge the inputs 0, 1, ... of a kind."""
    found, done = [], Counter()
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        case = KINDS[kind](draws(kind, SEED, number), place)
        done.update(step.must for step in case.steps)
        found += [f"{kind} {SEED} {number} {said}" for said in findings(case, worker)]
    print(f"{kind}: {count} inputs, commands {dict(done)}, {worker.num_started} processes")
    assert not found, f"{len(found)} findings\n" + "\n".join(found[:40])


@pytest.mark.timeout(900)  # the first may train and compile kernels
@pytest.mark.parametrize("kind", KINDS)
def test_some_inputs_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, few(kind), worker, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_inputs_are_taken_rightly_or_refused_in_a_sentence(kind, worker, tmp_path):
    assert_sound(kind, many(kind), worker, tmp_path)
