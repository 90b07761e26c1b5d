"""batchgnn's command line in processes of its own, on any number of ranks, with a time limit."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BATCHGNN = [sys.executable, "-m", "batchgnn"]


def command(arguments, ranks=None):
    """The command line of `batchgnn ARGUMENTS`, under `batchgnn launch` when `ranks` is given."""
    if ranks is None:
        return [*BATCHGNN, *map(str, arguments)]
    launch = ["launch", "-n", str(ranks), "--threads", "1", "--no-bind", "--"]
    return [*BATCHGNN, *launch, *map(str, arguments)]


def environment():
    """One thread a rank: what the tests' machines can bear."""
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}


def start(*arguments, ranks=None):
    """The command as a process whose standard output and error are pipes of text."""
    return subprocess.Popen(
        command(arguments, ranks),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def finish(process, timeout_s):
    """Wait for the end; a job that takes longer is ended with all its ranks and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, err = process.communicate(timeout=30)
        raise AssertionError(f"ran longer than {timeout_s} s:\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(*arguments, ranks=None, timeout_s=60):
    """Run `batchgnn ARGUMENTS` to its end, whatever that is."""
    return finish(start(*arguments, ranks=ranks), timeout_s)


def succeed(*arguments, ranks=None, timeout_s=60):
    """Run `batchgnn ARGUMENTS`, which must end well; what it printed."""
    done = run(*arguments, ranks=ranks, timeout_s=timeout_s)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def refused(*arguments, ranks=None, timeout_s=60):
    """Run `batchgnn ARGUMENTS`, which must be refused in one message; that message."""
    done = run(*arguments, ranks=ranks, timeout_s=timeout_s)
    assert done.returncode == 2, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "prterun" not in done.stderr
    assert "mpirun" not in done.stderr
    return done.stderr
