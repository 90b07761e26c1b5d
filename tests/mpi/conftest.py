"""Cases are collected only on a rank: `test_on_ranks.py` starts them under mpirun."""

import os
from pathlib import Path

import pytest

collect_ignore = [] if "BATCHGNN_TEST_REPORT" in os.environ else ["cases"]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """One folder for all ranks."""
    from mpi4py import MPI

    return Path(MPI.COMM_WORLD.bcast(str(tmp_path_factory.mktemp("shared"))))
