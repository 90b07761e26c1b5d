"""A pytest plugin for one rank: `mpirun -n P python -m pytest -p worker CASES`.

A failing test prints its report, then ends the job, so that the other ranks do not wait for it.
Each rank writes the names of its passed tests as a line each to `$BATCHGNN_TEST_REPORT.RANK`, and
the first one those of all tests to `$BATCHGNN_TEST_REPORT.collected`. With
`$BATCHGNN_SHARE_CASES`, 3 and 4 ranks share the parameters of a test, about half of them each.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from pathlib import Path

import pytest
from mpi4py import MPI

from batchgnn.comm.grid import start

REPORT = os.environ.get("BATCHGNN_TEST_REPORT")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Temporary files of its own: ranks that tidy up one folder together trip over each other."""
    start().free()
    if niceness := os.nice(0):  # which counts within a session alone, where Linux groups by session
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
    config.option.basetemp = tempfile.mkdtemp(prefix="batchgnn-rank-")


def pytest_unconfigure(config):
    MPI.COMM_WORLD.Barrier()  # ranks may read what another one wrote
    shutil.rmtree(config.option.basetemp, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    num_ranks = MPI.COMM_WORLD.size
    if num_ranks < 3 or not os.environ.get("BATCHGNN_SHARE_CASES"):
        return
    by_test = defaultdict(list)
    for item in sorted(items, key=lambda item: zlib.crc32(_name(item.nodeid).encode())):
        by_test[item.nodeid.partition("[")[0]].append(item)
    others = [each[num_ranks % 2 :: 2] for each in by_test.values() if len(each) > 1]
    gone = {item for each in others for item in each}
    config.hook.pytest_deselected(items=list(gone))
    items[:] = [item for item in items if item not in gone]


def pytest_collection_finish(session):
    if REPORT and MPI.COMM_WORLD.rank == 0:
        names = [_name(item.nodeid) for item in session.items]
        Path(f"{REPORT}.collected").write_text("\n".join(names))


def _name(nodeid):
    return nodeid.partition("cases/")[2]


def pytest_report_header():
    comm = MPI.COMM_WORLD
    library = MPI.Get_library_version().partition(",")[0]
    return f"MPI: {library}, rank {comm.rank} of {comm.size}"


@pytest.hookimpl(trylast=True)
def pytest_collectreport(report):
    if report.failed:
        _end_job(report)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    comm = MPI.COMM_WORLD
    if report.failed:
        _end_job(report)
    if REPORT and (report.when == "call" or report.skipped):
        with Path(f"{REPORT}.{comm.rank}").open("a") as file:
            file.write(_name(report.nodeid) + "\n")


def _end_job(report):
    comm = MPI.COMM_WORLD
    sys.stdout.flush()
    sys.stderr.write(f"rank {comm.rank} of {comm.size}: {report.nodeid} failed\n")
    for title, text in [("", report.longreprtext), *report.sections]:
        sys.stderr.write(f"{title}\n{text}\n")
    sys.stderr.flush()
    time.sleep(0.3)
    comm.Abort(1)
