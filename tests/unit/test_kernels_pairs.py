"""Edges are dealt to buckets as a stable sort would deal them."""

import numpy as np
import pytest
from checks import assert_like_reference, poison

from batchgnn.kernels.pairs import deal_pairs


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("num_buckets", [1, 3, 100])
@pytest.mark.parametrize("num_vertices", [5, 2**32])
def test_deal_pairs(directed, num_buckets, num_vertices):
    source, target = np.random.default_rng(2).integers(0, num_vertices, (2, 200))
    keys, order = poison(200, np.uint64), poison(200, np.int64)
    ends = poison(num_buckets, np.int64)
    assert_like_reference(deal_pairs, source, target, num_vertices, directed, ends, keys, order)
