"""What a run tells of itself while it trains, and how others read it: job.json and progress.json.

The first rank writes both into the run folder. Reading needs neither MPI nor HDF5.
"""

import contextlib
import json
import os
import socket
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from batchgnn.run.run_scores import RunScores
from batchgnn.settings.tables import flattened

JOB, PROGRESS, STOPPED, RESULT = "job.json", "progress.json", "stopped.json", "result.json"
BEAT_S = 5.0
LIVES_S = 3 * BEAT_S


def slurm_number() -> str | None:
    """The number of the Slurm job that this process is in: 12, or 12_3 of a job array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def note_job(run: Path, ranks: int, host: str) -> None:
    """job.json: where the run is, so that it can be asked for and ended; no longer stopped."""
    me = psutil.Process()
    values = {
        "slurm_job": slurm_number(),
        "host": host,
        "pid": me.pid,
        "pid_started": me.create_time(),
        "ranks": ranks,
        "started": round(time.time(), 3),
    }
    _replace(run / JOB, values)
    (run / STOPPED).unlink(missing_ok=True)


class Pulse:
    """progress.json: how far a run is, written anew every few seconds."""

    def __init__(self, run: Path, epochs: int):
        self.path, self.epochs, self.next_s = run / PROGRESS, epochs, 0.0

    def beat(self, epoch: int, step: int, num_steps: int) -> None:
        """Say that `step` steps of `epoch`, counted from 1, are done, when it is time to."""
        if time.monotonic() >= self.next_s:
            self.next_s = time.monotonic() + BEAT_S
            values = {"epoch": epoch, "epochs": self.epochs, "step": step, "num_steps": num_steps}
            with contextlib.suppress(OSError):  # a full disk is a checkpoint's to tell
                _replace(self.path, {**values, "time": round(time.time(), 3)})


@dataclass(frozen=True)
class RunState:
    """What the files of a run folder say; a file that is not there is an empty dictionary.

    settings: of config.toml, without its tables
    lines: of metrics.jsonl
    result: of the last start; empty when that has not finished
    is_here: whether its first rank ran on this machine just before the files were read
    """

    path: Path
    settings: dict[str, Any]
    job: dict[str, Any]
    is_here: bool
    progress: dict[str, Any]
    stopped: dict[str, Any]
    result: dict[str, Any]
    lines: list[dict[str, Any]]

    @property
    def scores(self) -> RunScores:
        """Its scores, and which is the best epoch so far."""
        return RunScores(self.settings, self.result, self.lines)

    @property
    def seconds_left(self) -> float | None:
        """Of the epochs that are left, if they are as long as the last; None in the first."""
        last = self.lines[-3:]
        if not last or "epochs" not in self.settings:
            return None
        each = sum(x["seconds"] + x.get("evaluate_seconds", 0.0) for x in last) / len(last)
        done = len(self.lines)
        if self.progress.get("epoch") == done + 1:
            done += self.progress["step"] / max(self.progress["num_steps"], 1)
        return max(0.0, each * (self.settings["epochs"] - done))

    @property
    def is_fresh(self) -> bool:
        """Whether it said something within the last seconds."""
        return time.time() - self.progress.get("time", 0) < LIVES_S


def read_run(run: Path) -> RunState:
    """The state of a run folder; raises ValueError when a file of it is damaged.

    Whether it runs is asked first, so that the note or the result of one that has ended since is
    found; and all is read again when the run was started again meanwhile.
    """
    job = _read(run / JOB)
    is_here = _runs_here(job)
    settings, lines = run / "config.toml", run / "metrics.jsonl"
    text = lines.read_text() if lines.exists() else ""
    whole = text[: text.rfind("\n") + 1].splitlines()  # the last may be half written
    state = RunState(
        path=run,
        settings=flattened(tomllib.loads(settings.read_text())) if settings.exists() else {},
        job=job,
        is_here=is_here,
        progress=_read(run / PROGRESS),
        stopped=_read(run / STOPPED),
        result=_read(run / RESULT) if _is_of_last_start(run / RESULT) else {},
        lines=[json.loads(line) for line in whole],
    )
    return state if _read(run / JOB) == job else read_run(run)


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return {}


def _runs_here(job: dict[str, Any]) -> bool:
    """Whether the process of job.json runs, on this machine."""
    if job.get("host") != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(job["pid"]).create_time() - job["pid_started"]) < 1
    except psutil.Error:
        return False


def _is_of_last_start(result: Path) -> bool:
    job = result.with_name(JOB)
    return not (job.exists() and result.exists()) or (
        result.stat().st_mtime_ns >= job.stat().st_mtime_ns
    )


def _replace(path: Path, values: dict[str, Any]) -> None:
    """Readers see the old text or the new one; not synced, for it may be lost."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(json.dumps(values) + "\n")
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
