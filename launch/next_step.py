"""What to type after `batchgnn status`: the command that goes on, compares, or ends."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from batchgnn.launch import queue
from batchgnn.run.run_state import RunState, Stands


def after_run(run: RunState, stands: Stands) -> str:
    """A line of a run alone; empty where its own sentence says what is to be mended."""
    if run.damage or "why" in run.stopped:
        return ""
    if stands == "finished":
        return _next("report", run.path)
    if stands == "runs":
        return f"To end it: {_typed('cancel', run.path)}"
    return _next("train", run.settings.get("shards", "SHARDS"), "--run", run.path, "--resume")


def after_pipeline(folder: Path, jobs: Sequence[queue.Submitted], runs: Sequence[RunState]) -> str:
    """A line of the jobs of a pipeline."""
    states = [state for job in jobs for state in queue.states(job.number)]
    if any(state.is_live for state in states):
        return f"To end them: {_typed('cancel', folder)}"
    if all(run.stands() == "finished" for run in runs) and runs:
        out = ("--out", folder / "report.html") if len(runs) > 1 else ()
        return _next("report", *(run.path for run in runs), *out)
    return _next("slurm", "submit", folder)


def _next(*words: object) -> str:
    return f"Next: {_typed(*words)}"


def _typed(*words: object) -> str:
    return shlex.join(["batchgnn", *map(str, words)])
