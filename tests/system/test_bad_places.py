"""What surrounds a run: srun without PMI, a full disk under the kernels' cache, no file locks."""

import os
import shutil
import subprocess
import sys

import pytest
from commands import refused, succeed
from graphs import learnable_graph, shards_of
from shards import store_graph

SMALL = ("--layers", 1, "--fanouts", 3, "--hidden", 4, "--epochs", 1, "--threads", 1)
NO_LOCKS = """
#include <errno.h>
int flock(int file, int how) { errno = ENOSYS; return -1; }
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("places") / "shards", 2)


def test_srun_that_serves_no_pmi_is_refused(shards, tmp_path, monkeypatch):
    for name, value in {"JOB_ID": 1, "STEP_ID": 0, "STEP_NUM_TASKS": 2, "PROCID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    said = refused("train", shards, "--run", tmp_path / "run", *SMALL)
    assert "srun started 2 tasks, but each sees itself alone: srun --mpi=pmix" in said
    assert not (tmp_path / "run").exists()


def test_one_task_of_srun_trains(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    succeed("train", shards, "--run", tmp_path / "run", *SMALL)


def can_mount():
    there = os.geteuid() == 0 and shutil.which("unshare")
    return there and not subprocess.run(["unshare", "-m", "true"], check=False).returncode


@pytest.mark.skipif(not can_mount(), reason="a small disk needs a root that may mount one")
def test_a_full_disk_under_the_kernels_cache_does_not_end_a_run(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    generate = f"data generate grid {tmp_path / 'g.h5'} --vertices 400"
    cut = f"partition {tmp_path / 'g.h5'} {tmp_path / 's'} --shards 2"
    commands = " && ".join(f"{sys.executable} -m batchgnn {each}" for each in (generate, cut))
    line = f"mount -t tmpfs -o size=200k none {disk} && BATCHGNN_CACHE={disk} && "
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{line} export BATCHGNN_CACHE && {commands}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the kernels' cache in" in done.stderr
    assert (tmp_path / "s" / "manifest.h5").exists()


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_file_system_without_locks_is_read_and_written(tmp_path, monkeypatch):
    (tmp_path / "n.c").write_text(NO_LOCKS)
    library = tmp_path / "n.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "n.c"], check=True)
    store_graph(learnable_graph(), tmp_path / "g.h5")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    succeed("partition", tmp_path / "g.h5", tmp_path / "s", "--shards", 2)
    succeed("verify", tmp_path / "s")
