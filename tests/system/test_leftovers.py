"""Shared memory and the temporary folder are left clean, by kills too; the next start cleans up."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from commands import environment, start, succeed
from graphs import learnable_graph, shards_of
from jobs import ranks_below, wait_while_it_runs

from batchgnn.base import leftovers
from batchgnn.base.leftovers import segments_of, sweep

ALONE = """
import time
from batchgnn.comm.grid import start

grid = start()
print("started", flush=True)
time.sleep({seconds})
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary folder that nobody else uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("graph") / "shards")


def left_in(folder):
    """Files, but for the lock that compilers of kernels share, and folders named after jobs."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return files + [path for path in folder.rglob("*") if path.name.isdigit()]


def alone(seconds=0):
    """A process without mpirun that has started MPI, and what it maps."""
    command = [sys.executable, "-c", ALONE.format(seconds=seconds)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    return process, segments_of(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["rank", "mpirun"])
def test_a_kill_leaves_nothing(shards, temporary, tmp_path, killed):
    job = start("train", shards, "--run", tmp_path / "run", "--epochs", 100000, ranks=2)
    wait_while_it_runs(job, lambda: (tmp_path / "run" / "metrics.jsonl").exists())
    ranks = ranks_below(job.pid)
    segments = set().union(*(segments_of(rank.pid) for rank in ranks.values()))
    assert segments
    victim = ranks[1] if killed == "rank" else psutil.Process(ranks[1].ppid())
    victim.send_signal(signal.SIGKILL)
    _, said = job.communicate(timeout=60)
    assert job.returncode, said
    assert not [path for path in segments if path.exists()]
    assert left_in(temporary) == []


@pytest.mark.slow
def test_training_and_evaluation_without_mpirun_leave_nothing(shards, temporary, tmp_path):
    run = tmp_path / "run"
    succeed("train", shards, "--run", run, "--epochs", 1, "--hidden", 4)
    succeed("evaluate", run)
    assert left_in(temporary) == []


def test_the_next_start_takes_away_what_the_dead_have_left(temporary):
    dead, of_dead = alone(60)
    live, of_live = alone(60)
    dead.kill()
    dead.communicate()
    (temporary / f"batchgnn-launch-{dead.pid}-x").mkdir()
    sweep()
    assert all(path.exists() for path in of_dead), "it may be of a process that just starts"
    old = time.time() - 2 * leftovers.YOUNG_S
    for path in [*of_dead, *of_live, *temporary.rglob("*")]:
        os.utime(path, (old, old))
    process, of_ended = alone()
    process.communicate(timeout=60)
    assert of_ended
    assert not [path for path in of_ended if path.exists()], "an end of its own leaves nothing"
    assert of_dead
    assert not [path for path in of_dead if path.exists()]
    assert of_live
    assert all(path.exists() for path in of_live)
    names = [path.name for path in temporary.rglob("*")]
    assert not [name for name in names if name.startswith("batchgnn-launch-")]
    live.terminate()
    live.communicate(timeout=60)
