"""What a run tells of itself while it trains, and how others read it: job.json and progress.json.

The first rank writes both into the run folder. Reading needs neither MPI nor HDF5.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from batchgnn.base.errors import StoreError
from batchgnn.run.run_files import (
    JOB_KEYS,
    PROGRESS_KEYS,
    STOPPED_KEYS,
    read_lines,
    read_result,
    read_settings,
    read_values,
)
from batchgnn.run.run_scores import RunScores

Found = TypeVar("Found")
Values = dict[str, Any]

JOB, PROGRESS, STOPPED, RESULT = "job.json", "progress.json", "stopped.json", "result.json"
LOCK = "lock.json"
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
    damage: what of the files nobody can read, in sentences; they count as not there
    """

    path: Path
    settings: dict[str, Any]
    job: dict[str, Any]
    is_here: bool
    progress: dict[str, Any]
    stopped: dict[str, Any]
    result: dict[str, Any]
    lines: list[dict[str, Any]]
    damage: tuple[str, ...] = ()

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
    """The state of a run folder, of the files that are whole; the others are named in `damage`.

    Whether it runs is asked first, so that the note or the result of one that has ended since is
    found; and all is read again when the run was started again meanwhile.
    """
    damage: list[str] = []

    def whole(read: Callable[..., Found], *arguments: Any, without: Found) -> Found:
        try:
            return read(*arguments)
        except StoreError as error:
            damage.append(str(error))
            return without

    nothing: Values = {}
    job = whole(_read_job, run, without=nothing)
    is_here = _runs_here(job)
    state = RunState(
        path=run,
        settings=whole(read_settings, run / "config.toml", without=nothing),
        job=job,
        is_here=is_here,
        progress=whole(read_values, run / PROGRESS, PROGRESS_KEYS, without=nothing),
        stopped=whole(read_values, run / STOPPED, STOPPED_KEYS, without=nothing),
        result=whole(_read_last_result, run, without=nothing),
        lines=whole(read_lines, run / "metrics.jsonl", without=[]),
    )
    state = replace(state, damage=tuple(damage))
    return state if whole(_read_job, run, without=nothing) == job else read_run(run)


def _read_last_result(run: Path) -> Values:
    """result.json, if the last start wrote it; raises StoreError."""
    return read_result(run / RESULT) if _is_of_last_start(run / RESULT) else {}


def _read_job(run: Path) -> Values:
    """job.json, or else the lock of the job that trains now; raises StoreError without both."""
    try:
        return read_values(run / JOB, JOB_KEYS)
    except StoreError:
        try:
            held = read_values(run / LOCK, JOB_KEYS)
        except StoreError:
            held = {}
        if held:
            return held
        raise


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
