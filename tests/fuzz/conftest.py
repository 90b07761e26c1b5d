"""The process that all commands of a module run in."""

import pytest

from fuzz.process import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Started by the first command, ended with the module."""
    worker = Worker(tmp_path_factory.mktemp("said"))
    yield worker
    worker.close()
