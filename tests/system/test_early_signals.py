"""SIGUSR1 in the first seconds of a run, while it loads: saved and started again, as later."""

import json
import signal
import subprocess
import sys

import psutil
import pytest
from commands import environment, finish, start
from graphs import learnable_graph, shards_of
from jobs import newest_checkpoint, wait_while_it_runs

SMALL = ["--layers", 1, "--fanouts", 3, "--hidden", 4, "--epochs", 50_000, "--threads", 1]
AT_ONCE = """
import os, signal, sys
from batchgnn import cli
run = cli.run_command
def signalled(given):
    os.kill(os.getpid(), signal.SIGUSR1)
    run(given)
cli.run_command = signalled
cli.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("early") / "shards", 2)


def assert_saved_to_go_on(done, run):
    assert done.returncode == 0, done.stderr
    assert "will be started again: its state at epoch 1 " in done.stderr
    assert json.loads((run / "stopped.json").read_text())["requeue"]
    assert newest_checkpoint(run).is_dir()


def test_a_signal_before_anything_is_loaded_is_heard_when_training_begins(shards, tmp_path):
    line = ["train", shards, "--run", tmp_path / "run", *SMALL]
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, *map(str, line)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert_saved_to_go_on(done, tmp_path / "run")


def test_a_launcher_keeps_a_signal_until_its_ranks_listen(shards, tmp_path):
    job = start("train", shards, "--run", tmp_path / "run", *SMALL, ranks=2)
    wait_while_it_runs(job, psutil.Process(job.pid).children)  # mpirun, which has begun just now
    job.send_signal(signal.SIGUSR1)
    assert_saved_to_go_on(finish(job, 120), tmp_path / "run")
