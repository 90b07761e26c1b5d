"""Cases are collected only on a rank: `test_on_ranks.py` looks at jobs that are begun here."""

import os
from collections import defaultdict
from pathlib import Path

import pytest

ON_A_RANK = "BATCHGNN_TEST_REPORT" in os.environ
JOBS = pytest.StashKey()

collect_ignore = [] if ON_A_RANK else ["cases"]


def is_of_a_job(item):
    return Path(item.path).name == "test_on_ranks.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.sort(key=is_of_a_job)  # last: until then their jobs run


def pytest_collection_finish(session):
    from mpi.case_jobs import CaseJobs

    chosen = defaultdict(list)
    for item in filter(is_of_a_job, session.items):
        chosen[item.callspec.params["num_ranks"]].append(item.callspec.params["name"])
    if chosen and not session.config.option.collectonly:
        session.config.stash[JOBS] = CaseJobs(chosen)


def pytest_sessionfinish(session):
    if jobs := session.config.stash.get(JOBS, None):
        jobs.end()


@pytest.fixture
def case_jobs(request):
    return request.config.stash[JOBS]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """One folder for all ranks."""
    from mpi4py import MPI

    return Path(MPI.COMM_WORLD.bcast(str(tmp_path_factory.mktemp("shared"))))
