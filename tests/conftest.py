"""Fixtures of all tests: a fresh communicator, which ends a deadlocked process with a traceback."""

import faulthandler
import os

import pytest
from hypothesis import settings

DEADLOCK_S = 180

# Commands that tests start need not compile all sources each, some 0.3 s, where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The first example of a test may compile a kernel, on a machine that others use too.
settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")


@pytest.fixture
def grid():
    """A fresh grid, so that one test's lost message cannot reach the next."""
    from batchgnn.comm.grid import start
    from batchgnn.watch import trace

    trace.mark("")  # where the test before had come to
    faulthandler.dump_traceback_later(DEADLOCK_S, exit=True)
    with start() as grid:
        yield grid
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def comm(grid):
    """All ranks; one rank outside mpirun."""
    return grid.world
