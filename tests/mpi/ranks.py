"""Programs started on several ranks by tests, with a time limit on the whole process tree."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass
class Done:
    """How a program ended; status None when it ran out of time."""

    status: int | None
    output: str
    seconds: float


def run_on_ranks(num_ranks, argv, *, timeout_s=120, environment=None, behind=False):
    """Run `python ARGV` on ranks of one thread each; after `timeout_s` all of it is killed.

    behind: it has what other work leaves of the processors
    """
    begin, before = time.monotonic(), ["nice"] if behind else []
    process = subprocess.Popen(
        [*before, sys.executable, HERE / "launched.py", str(num_ranks), *map(str, argv)],
        env=dict(os.environ) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    status: int | None
    try:
        output, _ = process.communicate(timeout=timeout_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate(timeout=30)
        status, output = None, f"{output}\nkilled: it ran longer than {timeout_s} s"
    return Done(status, output, time.monotonic() - begin)
