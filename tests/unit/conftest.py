"""Fixtures of the tests in one process."""

import pytest
from runs import make_run


@pytest.fixture
def run(tmp_path):
    """A run folder of five epochs on two ranks, finished."""
    make_run(tmp_path / "run")
    return tmp_path / "run"
