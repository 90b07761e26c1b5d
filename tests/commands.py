"""batchgnn's command line in processes of its own, on any number of ranks, with a time limit."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
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


def start(*arguments, ranks=None, before=(), **how):
    """The command as a process whose standard output and error are pipes of text.

    before: words that start it; how: for Popen
    """
    return subprocess.Popen(
        [*before, *command(arguments, ranks)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        **how,
    )


class Terminal:
    """A terminal of its own, as a window or tmux gives; Ctrl-C goes the way of the kernel's."""

    def __enter__(self):
        self.keys, self.end = pty.openpty()
        return self

    def __exit__(self, *error):
        os.close(self.keys)
        os.close(self.end)

    def start(self, *arguments, **how):
        """As `start`, in the foreground of this terminal."""

        def own():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a script's background ignores it
            fcntl.ioctl(self.end, termios.TIOCSCTTY, 0)

        return start(*arguments, **how, stdin=self.end, start_new_session=True, preexec_fn=own)

    def shows(self, line, timeout_s=60):
        """The status of a command line in this terminal, and all that was written on it."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.end)
        process = subprocess.Popen(line, env=environment(), **streams)
        written, end = b"", time.time() + timeout_s
        while process.poll() is None or select.select([self.keys], [], [], 0)[0]:
            if select.select([self.keys], [], [], 0.05)[0]:
                written += os.read(self.keys, 1 << 16)
            elif time.time() > end:
                process.kill()
        return process.returncode, written.decode()

    def ctrl_c(self):
        """Press the keys."""
        os.write(self.keys, b"\x03")


def finish(process, timeout_s):
    """Wait for the end; a job that takes longer is ended with all its ranks and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, err = process.communicate(timeout=30)
        raise AssertionError(f"ran longer than {timeout_s} s:\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(*arguments, ranks=None, timeout_s=200):
    """Run `batchgnn ARGUMENTS` to its end, whatever that is."""
    return finish(start(*arguments, ranks=ranks), timeout_s)


def succeed(*arguments, ranks=None, timeout_s=200):
    """Run `batchgnn ARGUMENTS`, which must end well; what it printed."""
    done = run(*arguments, ranks=ranks, timeout_s=timeout_s)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def refused(*arguments, ranks=None, timeout_s=200):
    """Run `batchgnn ARGUMENTS`, which must be refused in one message; that message."""
    done = run(*arguments, ranks=ranks, timeout_s=timeout_s)
    assert done.returncode == 2, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "prterun" not in done.stderr
    assert "mpirun" not in done.stderr
    return done.stderr
