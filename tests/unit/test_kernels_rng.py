"""Keyed random numbers: equal to plain integer arithmetic, and uniform enough for their use."""

import numpy as np
import pytest
from reference import rng as reference
from scipy.stats import chisquare, kstest

from batchgnn.kernels.rng import below, draw, fill_draws, mix, stream_key, unit

WORDS = [0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]


@pytest.mark.parametrize("word", WORDS)
def test_mix_unit_and_below_are_the_integer_formulas(word):
    bits = np.uint64(word)
    assert int(mix(bits)) == reference.mix(word)
    assert unit(bits) == reference.unit(word) < 1
    for n in (1, 2, 7, 2**32 - 1):
        assert below(bits, n) == reference.below(word, n) < n


@pytest.mark.parametrize("key", WORDS)
def test_draws_are_the_integer_formula(key):
    idents = np.array(WORDS, np.uint64)
    out = np.zeros(len(idents), np.uint64)
    fill_draws(np.uint64(key), idents, out)
    assert [int(x) for x in out] == [reference.draw(key, i) for i in WORDS]
    assert int(draw(np.uint64(key), idents[3])) == int(out[3])


def test_stream_keys_are_the_integer_formula_and_all_differ():
    parts = [
        (s, p, e, t, k)
        for s in (0, 9)
        for p in (1, 4)
        for e in (0, 1)
        for t in (0, 1)
        for k in (0, 1)
    ]
    keys = [int(stream_key(*part)) for part in parts]
    assert keys == [reference.stream_key(*part) for part in parts]
    assert len(set(keys)) == len(parts)


def test_draws_of_consecutive_ids_are_uniform_and_uncorrelated():
    out = np.empty(100_000, np.uint64)
    fill_draws(np.uint64(5), np.arange(len(out)), out)
    x = (out >> np.uint64(11)) / 2**53
    assert kstest(x, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(len(x))


def test_below_is_uniform():
    out = np.empty(60_000, np.uint64)
    fill_draws(np.uint64(6), np.arange(len(out)), out)
    counts = np.bincount([below(bits, 6) for bits in out], minlength=6)
    assert chisquare(counts).pvalue > 1e-3
