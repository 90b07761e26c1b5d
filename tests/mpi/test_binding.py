"""What `batchgnn launch` asks of mpirun, seen by the ranks: cores of their own, and threads."""

import json
import os
import subprocess
import sys

import pytest

from batchgnn.launch.mpirun import (
    THREAD_VARIABLES,
    Placement,
    find_mpirun,
    job_environment,
    mpirun_argv,
    num_cores,
)

SEEN = f"""
import json, os, sys
names = {THREAD_VARIABLES}
sys.stdout.write(json.dumps([sorted(os.sched_getaffinity(0)), [os.environ[n] for n in names]]))
sys.stdout.write(chr(10))
"""


def seen_by_ranks(placement, **options):
    """(cores, thread counts) of each rank."""
    mpirun = find_mpirun()
    done = subprocess.run(
        mpirun_argv(mpirun, placement, [sys.executable, "-c", SEEN], **options),
        env=dict(os.environ) | job_environment(mpirun, placement, os.geteuid(), "test"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ranks) == placement.ranks
    return [set(cores) for cores, _ in ranks], [threads for _, threads in ranks]


@pytest.mark.parametrize("options", [{}, {"per_node": 2}], ids=["launch", "batch script"])
@pytest.mark.skipif(num_cores() < 2, reason="two ranks on one core share it")
def test_each_rank_is_bound_to_a_core_of_its_own(options):
    (one, two), threads = seen_by_ranks(Placement(2, 1, bind=True), **options)
    assert one
    assert two
    assert not one & two
    assert threads == [["1"] * len(THREAD_VARIABLES)] * 2


def test_more_ranks_than_cores_share_them():
    cores, threads = seen_by_ranks(Placement(num_cores() + 1, 3, bind=False))
    assert all(each == os.sched_getaffinity(0) for each in cores)
    assert {count for each in threads for count in each} == {"3"}
