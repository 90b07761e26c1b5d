"""How many threads a rank runs."""

import os

import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.base.threads import threads_for


def test_bound_ranks_use_their_cores():
    assert threads_for(None, [2, 3], [[0, 1], [2, 3]]) == 2
    assert threads_for(None, [0, 1, 2], [[0, 1, 2], [3]]) == 3


def test_unbound_ranks_share_what_they_see():
    assert threads_for(None, [0, 1, 2, 3], [[0, 1, 2, 3]] * 2) == 2
    assert threads_for(None, [0, 1, 2], [[0, 1, 2]] * 3) == 1  # thirds add up to one
    assert threads_for(None, [0], [[0]] * 4) == 1
    assert threads_for(None, [4, 5, 6, 7], [[4, 5, 6, 7], [6, 7]]) == 3


def test_more_threads_than_cores_are_refused():
    there = os.cpu_count()
    assert threads_for(there, [0], [[0]]) == there
    with pytest.raises(ConfigError, match=rf"--threads {there + 1}: .* has {there} cores"):
        threads_for(there + 1, [0], [[0]])
