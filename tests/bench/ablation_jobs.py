"""The jobs of the ablation: each row's ranks stay open, and take turns at the same steps."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ablation_rows import Row
from bench.graph import HERE, python_path

from batchgnn.launch.mpirun import THREAD_VARIABLES


class JobError(Exception):
    """A row's job ended early."""


@dataclass
class Job:
    """A row's ranks, started and waiting for commands; `turns` are the answers so far."""

    row: Row
    settings: dict[str, Any]
    process: subprocess.Popen
    errors: Any
    ready: dict = field(default_factory=dict)
    turns: list[dict] = field(default_factory=list)

    def ask(self, **command) -> dict:
        """What the job answers; raises JobError."""
        with suppress(BrokenPipeError):  # then the answer is missing too
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict:
        """The job's next answer; raises JobError with what it wrote on standard error."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        raise JobError(f"{self.row.name}: {self.errors.read()[-3000:]}")

    def close(self) -> None:
        """End the job; said in words, because Open MPI does not pass the end of its input on."""
        with suppress(BrokenPipeError):
            self.process.stdin.write('{"do": "end"}\n')
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(30)
        self.process.stdout.close()
        self.errors.close()


Start = Callable[..., subprocess.Popen]
"""Starts a worker's command line on all ranks; the options are those of subprocess.Popen."""


def start_here(ranks: int, threads: int) -> Start:
    """Ranks of this machine, unbound."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment["PYTHONPATH"] = python_path()
    launched = [] if ranks == 1 else [str(HERE.parent / "mpi" / "launched.py"), str(ranks)]

    def start(argv: list[str], **options) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, *launched, *argv], env=environment, **options)

    return start


class Ablation:
    """The jobs of all rows on one placement of ranks; a context manager."""

    def __init__(self, start: Start, shards: Path, settings: dict, rows: list[Row], warm_up: int):
        """settings: options by name, what all rows share; warm_up: steps before a first turn."""
        self.start, self.shards, self.settings, self.rows = start, shards, settings, rows
        self.warm_up, self.epoch, self.left = warm_up, -1, 0
        self.jobs: list[Job] = []
        self.failed: list[str] = []

    def __enter__(self) -> "Ablation":
        """Start one job after the other, so that only the first may have to compile."""
        try:
            values = dict(self.settings)
            for row in self.rows:
                values |= row.changes
                job = self._start(row, values)
                try:
                    job.ready = job.answer()
                    job.ask(do="start", epoch=0, steps=min(2, job.ready["num_steps"]))
                    self.jobs.append(job)
                except JobError as error:
                    self.failed.append(f"left out, its job failed: {error}")
                    job.close()
            if not self.jobs:
                raise JobError("\n".join(["no row's job started", *self.failed]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for job in self.jobs:
            job.close()

    def _start(self, row: Row, values: dict) -> Job:
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        argv = [str(HERE / "ablation_worker.py"), str(self.shards), json.dumps(values)]
        process = self.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                             text=True)  # fmt: skip
        return Job(row, dict(values), process, errors)

    def turn(self, steps: int, around: Callable[[], Any] = lambda: None) -> None:
        """Each row trains the same next `steps` steps, alone.

        around: called before and after each; the pair of what it returns is kept as "around".
        """
        if self.left < steps:
            self._next_epoch(steps)
        self.left -= steps
        for job in self.jobs:
            before = around()
            answer = job.ask(do="train", steps=steps)
            job.turns.append(answer | {"around": (before, around())})

    def _next_epoch(self, steps: int) -> None:
        self.epoch += 1
        ahead = 2 * max(job.settings["macrobatch"] for job in self.jobs)  # sampled before it ends
        have = min(job.ready["num_steps"] for job in self.jobs) - ahead
        if have < self.warm_up + steps:
            raise JobError(
                f"an epoch has {have + ahead} steps; {self.warm_up} to warm up, {steps} a turn and "
                f"{ahead} that are only sampled are needed: lower --batch or --steps"
            )
        for job in self.jobs:
            job.ask(do="start", epoch=self.epoch, steps=self.warm_up)
        self.left = have - self.warm_up

    def forget(self) -> None:
        """Drop the turns so far."""
        for job in self.jobs:
            job.turns = []
