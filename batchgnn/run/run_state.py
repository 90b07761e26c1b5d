"""What a run tells of itself while it trains, and how others read it: job.json and progress.json.

The first rank writes both into the run folder. Reading needs neither MPI nor HDF5.
"""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil

from batchgnn.base.errors import StoreError
from batchgnn.run.outlook import seconds_left
from batchgnn.run.run_files import (
    JOB_KEYS,
    PROGRESS_KEYS,
    STOPPED_KEYS,
    Kinds,
    read_lines,
    read_result,
    read_settings,
    read_values,
)
from batchgnn.run.run_scores import RunScores

Found = TypeVar("Found")
Values = dict[str, Any]
Stands = Literal["finished", "stopped", "runs", "gone"]
"How a run stands: gone is one that has not finished, and is not seen to run."

JOB, PROGRESS, STOPPED, RESULT = "job.json", "progress.json", "stopped.json", "result.json"
LOCK = "lock.json"
BEAT_S = 5.0
LIVES_S = 3 * BEAT_S


def slurm_number() -> str | None:
    """The number of the Slurm job that this process is in: 12, or 12_3 of a job array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def note_job(run: Path, ranks: int, host: str, epochs: int | None = None) -> None:
    """job.json: where the run is, so that it can be asked for and ended; no longer stopped."""
    me = psutil.Process()
    values = {
        "slurm_job": slurm_number(),
        "host": host,
        "pid": me.pid,
        "pid_started": me.create_time(),
        "ranks": ranks,
        "started": round(time.time(), 3),
        **({} if epochs is None else {"epochs": epochs}),
    }
    _replace(run / JOB, values)
    (run / STOPPED).unlink(missing_ok=True)


class Pulse:
    """progress.json: how far a run is, written anew every few seconds."""

    def __init__(self, run: Path, epochs: int):
        self.path, self.epochs, self.next_s = run / PROGRESS, epochs, 0.0
        self.unsaid: Values = {}

    def beat(self, epoch: int, step: int, num_steps: int) -> None:
        """Say that `step` steps of `epoch`, counted from 1, are done, when it is time to."""
        values = {"epoch": epoch, "epochs": self.epochs, "step": step, "num_steps": num_steps}
        self.unsaid = {**values, "time": round(time.time(), 3)}
        if time.monotonic() >= self.next_s:
            self.settle()

    def settle(self) -> None:
        """Say now what was last to be said, as where training ends."""
        self.next_s = time.monotonic() + BEAT_S
        if self.unsaid:
            with contextlib.suppress(OSError):  # a full disk is a checkpoint's to tell
                _replace(self.path, self.unsaid)
            self.unsaid = {}


@dataclass(frozen=True)
class RunState:
    """What the files of a run folder say; a file that is not there is an empty dictionary.

    settings: of config.toml, without its tables
    lines: of metrics.jsonl
    progress, stopped, result: of the last start; empty when that has said nothing yet, was not
        stopped, has not finished
    is_here: whether its first rank ran on this machine just before the files were read
    heard_s: when its first rank last touched the lock; 0 without a lock
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
    heard_s: float = 0.0
    damage: tuple[str, ...] = ()

    @property
    def scores(self) -> RunScores:
        """Its scores, and which is the best epoch so far."""
        return RunScores(self.settings, self.result, self.lines)

    def stands(self, *, runs: bool | None = None) -> Stands:
        """Finished, stopped, running, or none of these; runs: what a batch system says of it.

        A process that has written its result, or why it stopped, is on its way out.
        """
        if self.result:
            return "finished"
        if self.stopped:
            return "stopped"
        return "runs" if (self.seems_to_run if runs is None else runs) else "gone"

    @property
    def seems_to_run(self) -> bool:
        """Its process is here, or is elsewhere and touched the lock within the last seconds."""
        elsewhere = self.job.get("host") != socket.gethostname()
        return self.is_here or (elsewhere and time.time() - self.heard_s < LIVES_S)

    @property
    def epochs(self) -> int | str:
        """How many there will be: a resume may have changed what the settings say."""
        found: int | str = self.job.get("epochs", self.settings.get("epochs", "?"))
        return found

    @property
    def place(self) -> str:
        """The epoch under way, and its steps where they are known; empty after the last."""
        done, now = len(self.lines), self.progress
        if now and now["epoch"] > done:
            of = f" of {now['num_steps']}" if now["num_steps"] else ""
            return f"epoch {now['epoch']}, step {now['step']}{of}"
        return "" if done == self.epochs else f"epoch {done + 1}"

    @property
    def seconds_left(self) -> float | None:
        """Of the epochs that are left, if they are as long as the last; None in the first."""
        if isinstance(self.epochs, str):
            return None
        done = float(len(self.lines))
        if self.progress.get("epoch") == done + 1:
            steps = self.progress["num_steps"]
            done += self.progress["step"] / steps if steps else 0
        return seconds_left(self.lines, self.epochs, done)


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

    def of_last_start(name: str, kinds: Kinds) -> Values:
        said = whole(read_values, run / name, kinds, without=nothing)
        return {} if said.get("time", math.inf) < job.get("started", 0) else said

    state = RunState(
        path=run,
        settings=whole(read_settings, run / "config.toml", without=nothing),
        job=job,
        is_here=is_here,
        progress=of_last_start(PROGRESS, PROGRESS_KEYS),
        stopped=of_last_start(STOPPED, STOPPED_KEYS),
        result=whole(_read_last_result, run, job, without=nothing),
        lines=whole(read_lines, run / "metrics.jsonl", without=[]),
        heard_s=_touched_s(run / LOCK),
    )
    if state.result.get("epochs", len(state.lines)) != len(state.lines):
        state = replace(state, result={})  # of before a resume
    state = replace(state, damage=tuple(damage))
    return state if whole(_read_job, run, without=nothing) == job else read_run(run)


def _read_last_result(run: Path, job: Values) -> Values:
    """result.json, if the last start has nothing to add to it; raises StoreError."""
    result = read_result(run / RESULT)
    has_all = result.get("epochs", 0) >= job.get("epochs", math.inf)  # also of a copied folder
    return result if has_all or _is_of_last_start(run / RESULT) else {}


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


def _touched_s(lock: Path) -> float:
    """When, in seconds since 1970; 0 without a file."""
    try:
        return lock.stat().st_mtime
    except OSError:
        return 0.0


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
