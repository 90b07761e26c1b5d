"""What Slurm knows of jobs, asked by their numbers: other users' jobs do not matter.

squeue knows jobs that wait or run, sacct those that have ended, where there is accounting; scontrol
remembers ended jobs for some minutes.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from batchgnn.base.errors import BatchGNNError
from batchgnn.base.parse import parse_json
from batchgnn.run.run_files import Kinds, checked, damaged, read_text
from batchgnn.store.format import atomic_file

TIMEOUT_S = 30
NUMBER = re.compile(r"\d+(_\d+)?([+;]\w+)?")
SUBMITTED_KEYS: Kinds = {"step": str, "number": str, "is_array?": bool}
LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD",
        "RESIZING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "REQUEUE_FED")  # fmt: skip


@dataclass(frozen=True)
class Submitted:
    """A job of a pipeline, as noted when it was submitted."""

    step: str
    number: str
    is_array: bool = False


@dataclass(frozen=True)
class JobState:
    """A job, or a task of a job array, now.

    state    Slurm's word: PENDING, RUNNING, COMPLETED, FAILED ...
    elapsed  time it has run, as Slurm writes it; left: until its time limit
    where    its nodes, or why it waits
    """

    number: str
    state: str
    elapsed: str = ""
    left: str = ""
    where: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVE

    @property
    def has_failed(self) -> bool:
        """Whether it ended, and not well."""
        return not self.is_live and self.state != "COMPLETED"

    def line(self) -> str:
        """For people to read."""
        words = [self.state]
        if self.state == "RUNNING":
            words.append(f"for {self.elapsed} on {self.where}, {self.left} left")
        elif self.is_live:
            words.append(self.where)
        elif self.elapsed:
            words.append(f"after {self.elapsed}")
        return " ".join(words)


def has_slurm() -> bool:
    """Whether this machine can ask a Slurm."""
    return shutil.which("squeue") is not None


def states(number: str) -> list[JobState]:
    """A job's state, or those of its array's tasks; empty when Slurm has forgotten it."""
    if not has_slurm():
        return []
    live = _said("squeue", "-h", "-r", "-j", number, "-o", "%i|%T|%M|%L|%R")
    found = [JobState(*line.split("|", 4)) for line in live.splitlines() if line.count("|") >= 4]
    known = {each.number for each in found}
    return found + [each for each in _ended(number) if each.number not in known]


def _ended(number: str) -> list[JobState]:
    """By accounting, else from the controller's memory."""
    lines = _said("sacct", "-n", "-X", "-P", "-j", number, "-o", "JobID,State,Elapsed").splitlines()
    found = [JobState(*line.split("|")) for line in lines if line.count("|") == 2]
    if not found:
        for line in _said("scontrol", "-o", "show", "job", number).splitlines():
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            name = words.get("JobId", "")
            if "ArrayJobId" in words:
                name = f"{words['ArrayJobId']}_{words.get('ArrayTaskId', '')}"
            found.append(JobState(name, words.get("JobState", ""), words.get("RunTime", "")))
    return [JobState(e.number, e.state.split(" ")[0], e.elapsed) for e in found]


@dataclass(frozen=True)
class TimeLimit:
    """The longest time of a job in a partition, None where any; whether it is the usual one."""

    seconds: int | None
    is_default: bool


def time_limits() -> dict[str, TimeLimit]:
    """Of each partition of Slurm; empty where there is none to ask."""
    if shutil.which("sinfo") is None:
        return {}
    lines = (line.split("|") for line in _said("sinfo", "-h", "-o", "%P|%l").splitlines())
    return {
        words[0].rstrip("*"): TimeLimit(seconds_of(words[1]), words[0].endswith("*"))
        for words in lines
        if len(words) == 2
    }


def seconds_of(time: str) -> int | None:
    """Of minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S; None of `infinite`."""
    days, dash, rest = time.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]):
        return None
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: [0, *numbers, 0], 2: [0, *numbers]}.get(len(parts), numbers)
    return ((24 * int(days or 0) + hours) * 60 + minutes) * 60 + seconds


def is_live(number: str) -> bool:
    """Whether the job, or a task of it, waits or runs."""
    return any(state.is_live for state in states(number))


def cancel(numbers: list[str]) -> None:
    """End jobs that wait or run, at once; raises BatchGNNError."""
    if numbers:
        _call("scancel", *numbers)


def ask_to_end(number: str) -> None:
    """Send SIGTERM to the script of a running job, which passes it on to the ranks."""
    _call("scancel", "--batch", "--signal=TERM", number)


def write_jobs(path: Path, jobs: list[Submitted]) -> None:
    """Note what was submitted, for `read_jobs`."""
    with atomic_file(path, overwrite=True) as beside:
        beside.write_text(json.dumps([asdict(job) for job in jobs], indent=2) + "\n")


def read_jobs(path: Path) -> list[Submitted]:
    """What `write_jobs` noted; empty when nothing was. Raises StoreError when it is damaged."""
    text = read_text(path)
    if text is None:
        return []
    try:
        listed = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise damaged(str(path), str(error) if text.strip() else "it is empty") from error
    if not isinstance(listed, list):
        raise damaged(str(path), f"it holds a {type(listed).__name__}, not a list of jobs")
    return [_job(each, f"{path}: job {n}") for n, each in enumerate(listed, start=1)]


def _job(values: object, where: str) -> Submitted:
    """A job of the list; raises StoreError."""
    known = {key.removesuffix("?") for key in SUBMITTED_KEYS}
    if not isinstance(values, dict) or not values.keys() <= known:
        raise damaged(where, f"it is {values!r:.60}")
    job = Submitted(**checked(values, SUBMITTED_KEYS, where))
    if not NUMBER.fullmatch(job.number):
        raise damaged(where, f"number is {job.number!r:.40}")
    return job


def _said(*argv: str) -> str:
    """What a question was answered with; nothing when it failed."""
    environment = dict(os.environ) | {"SLURM_TIME_FORMAT": "standard"}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _call(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BatchGNNError(f"{argv[0]} could not be run: {error}.") from error
    if done.returncode:
        raise BatchGNNError(f"{' '.join(argv)}: {done.stderr.strip()}.")
