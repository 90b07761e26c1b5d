"""Kernels of generators and converters: the reference's numbers, and what they promise."""

import numpy as np
import pytest
import reference.generate
import reference.pairs
import reference.permutation
from scipy.stats import chisquare, kstest

from batchgnn.kernels import generate, pairs, permutation

KEY, ID_KEY = np.uint64(0x9876543210FEDCBA), np.uint64(12345)
POISON = -77


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 100])
def test_permute_is_the_reference_and_a_permutation(n):
    found = [permutation.permute(KEY, n, x) for x in range(n)]
    assert found == [reference.permutation.permute(KEY, n, x) for x in range(n)]
    assert sorted(found) == list(range(n))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 100])
def test_positions_is_the_reference(n):
    first = n // 3
    out, expected = np.full(n - first, POISON), np.full(n - first, POISON)
    permutation.positions(KEY, n, first, out)
    reference.permutation.positions(KEY, n, first, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n", [1 << 20, 3_000_000_019])
def test_unpermute_is_the_inverse_on_large_domains(n):
    x = np.random.default_rng(0).integers(0, n, 200)
    y = [permutation.permute(KEY, n, int(i)) for i in x]
    assert [permutation.unpermute(KEY, n, i) for i in y] == x.tolist()


def test_permutations_of_different_keys_differ_and_every_position_is_likely():
    counts = np.zeros((5, 5))
    for key in range(4000):
        for x in range(5):
            counts[x, permutation.permute(np.uint64(key), 5, x)] += 1
    assert chisquare(counts.ravel()).pvalue > 1e-4


@pytest.mark.parametrize(("n", "communities"), [(7, 1), (7, 3), (40, 4), (41, 4), (6, 6)])
def test_owned_edges_is_the_reference(n, communities):
    place = np.random.default_rng(0).permutation(n)
    out, expected = np.full(n, POISON), np.full(n, POISON)
    weights = generate.CommunityWeights(n, communities, 0.6, 1.5)
    generate.owned_edges(KEY, place, weights, 3.0 * n, out)
    reference.generate.owned_edges(KEY, place, weights, 3.0 * n, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("n", "communities", "wanted"),
    [(2, 1, 1), (7, 1, 2), (9, 3, 4), (60, 4, 20), (5, 5, 3)],
    ids=["pair", "one community", "more than there are", "by hashing", "communities of one"],
)
def test_community_edges_is_the_reference(n, communities, wanted):
    place = np.random.default_rng(1).permutation(n)
    begin = np.arange(n + 1) * wanted
    out, found = np.full(n * wanted, POISON), np.full(n, POISON)
    expected, expected_found = out.copy(), found.copy()
    asked = (KEY, ID_KEY, place, begin, generate.CommunityWeights(n, communities, 0.6, 1.5), 0.7)
    generate.community_edges(*asked, out, found)
    reference.generate.community_edges(*asked, expected, expected_found)
    np.testing.assert_array_equal(found, expected_found)
    for i in range(n):
        row = slice(begin[i], begin[i] + found[i])
        np.testing.assert_array_equal(out[row], expected[row])


@pytest.mark.parametrize("n", [2, 3, 31, 64, 1000])
def test_rmat_edges_is_the_reference(n):
    ends = np.full((2, 50), POISON)
    expected = ends.copy()
    arguments = (KEY, ID_KEY, 13, n, max((n - 1).bit_length(), 1), (0.57, 0.19, 0.19))
    generate.rmat_edges(*arguments, *ends)
    reference.generate.rmat_edges(*arguments, *expected)
    np.testing.assert_array_equal(ends, expected)


@pytest.mark.parametrize("width", [0, 1, 2, 5])
def test_class_features_are_the_reference(width):
    label = np.array([1, 0, 2, 1], np.int32)
    centre = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    out, expected = np.full((4, width), np.nan, np.float32), np.empty((4, width))
    generate.class_features(KEY, 5, label, centre, np.float32(0.5), out)
    reference.generate.class_features(KEY, 5, label, centre, 0.5, expected)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_fill_normal_is_the_reference_and_normal():
    out, expected = np.full((6, 3), np.nan, np.float32), np.empty((6, 3))
    generate.fill_normal(KEY, 2, out)
    reference.generate.fill_normal(KEY, 2, expected)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    many = np.empty((1000, 11), np.float32)
    generate.fill_normal(KEY, 0, many)
    assert kstest(many.ravel(), "norm").pvalue > 1e-4
    assert abs(np.corrcoef(many.T) - np.eye(11)).max() < 0.15


@pytest.mark.parametrize("weighted", [False, True])
def test_pair_sums_and_buckets_are_the_reference(weighted):
    rng = np.random.default_rng(3)
    source, target = rng.integers(0, 9, (2, 60))
    bits = rng.integers(0, 2**32, 60 if weighted else 0, dtype=np.uint32)
    sums, expected = np.ones((2, 8), np.uint64), np.ones((2, 8), np.uint64)
    pairs.add_pair_sums(KEY, source, target, bits, sums)
    reference.pairs.add_pair_sums(KEY, source, target, bits, expected)
    np.testing.assert_array_equal(sums, expected)
    buckets, wanted = np.full(60, POISON), np.full(60, POISON)
    pairs.pair_buckets(KEY, source, target, bits, 8, buckets)
    reference.pairs.pair_buckets(KEY, source, target, bits, 8, wanted)
    np.testing.assert_array_equal(buckets, wanted)
    drawn, expected = np.empty(len(source), np.uint64), np.empty(len(source), np.uint64)
    pairs.hash_pairs(KEY, source, target, drawn)
    reference.pairs.hash_pairs(KEY, source, target, expected)
    np.testing.assert_array_equal(drawn, expected)


def test_pair_sums_are_equal_exactly_for_symmetric_arcs():
    source, target = np.array([0, 1, 1, 2, 3, 3]), np.array([1, 0, 2, 1, 3, 3])
    sums, none = np.zeros((2, 4), np.uint64), np.empty(0, np.uint32)
    pairs.add_pair_sums(KEY, source, target, none, sums)
    np.testing.assert_array_equal(sums[0], sums[1])
    pairs.add_pair_sums(KEY, source[:1], target[:1], none, sums)
    assert (sums[0] != sums[1]).sum() == 1
