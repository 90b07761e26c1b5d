"""Ctrl-C while files are made: one sentence, status 130, and nothing half-written is left."""

import os
import signal
import subprocess
import sys

from commands import ROOT, Terminal, finish
from jobs import wait_while_it_runs

HOLDS_PYTHONS_LOCK = """
import ctypes
from batchgnn.partition.ctrl_c import ending_at_once
with ending_at_once():
    print("begun", flush=True)
    ctypes.PyDLL(None).sleep(60)
"""

LOSES_A_CTRL_C = """
import os, signal
from batchgnn import cli

def lose():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise TypeError("of a library")

cli.app.command(lose)
cli.COMMANDS["lose"] = ("", "")
cli.main(["lose"])
"""


def test_a_graph_store_that_is_being_written_is_removed(tmp_path):
    line = ["data", "generate", "communities", tmp_path / "g.h5", "--vertices", 10_000_000]
    with Terminal() as terminal:
        process = terminal.start(*line)
        wait_while_it_runs(process, lambda: list(tmp_path.iterdir()))
        terminal.ctrl_c()
        done = finish(process, 20)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert done.stderr.count("batchgnn: interrupted: it has ended, and nothing ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which scripts ignore
    )


def test_a_ctrl_c_that_a_library_turns_into_another_error_is_one_still():
    done = finish(start(LOSES_A_CTRL_C), 20)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert done.stderr.startswith("batchgnn: interrupted: ")


def test_a_call_that_holds_pythons_lock_is_ended_too():
    process = start(HOLDS_PYTHONS_LOCK)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    done = finish(process, 10)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)
    assert done.stderr.startswith("batchgnn: interrupted: ")
