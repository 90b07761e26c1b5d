"""Fixtures of all tests: a fresh communicator, which ends a deadlocked process with a traceback."""

import faulthandler

import pytest

DEADLOCK_S = 60


@pytest.fixture
def grid():
    """A fresh grid, so that one test's lost message cannot reach the next."""
    from batchgnn.comm.grid import start

    faulthandler.dump_traceback_later(DEADLOCK_S, exit=True)
    with start() as grid:
        yield grid
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def comm(grid):
    """All ranks; one rank outside mpirun."""
    return grid.world
