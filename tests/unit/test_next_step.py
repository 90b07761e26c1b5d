"""What `status` says to type next, of runs and pipelines in every state."""

import json
import time

import pytest
from runs import make_run

from batchgnn.launch import next_step
from batchgnn.launch.queue import JobState, Submitted
from batchgnn.launch.status import found, status


@pytest.fixture
def stopped(tmp_path):
    """A run with a blank in its name that a signal ended."""
    path = tmp_path / "a run"
    make_run(path, finished=False)
    note = {"requeue": False, "epoch": 4, "step": 0, "time": time.time()}
    (path / "stopped.json").write_text(json.dumps(note))
    return path


def test_a_finished_run_is_reported(run, capsys):
    status(run)
    assert capsys.readouterr().out.endswith(f"\nNext: batchgnn report {run}\n")


def test_a_stopped_run_goes_on(stopped, capsys):
    status(stopped)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"Next: batchgnn train '/data/<shards>' --run '{stopped}' --resume"


def test_a_run_that_failed_by_an_error_says_only_that(stopped, capsys):
    note = json.loads((stopped / "stopped.json").read_text()) | {"why": "The loss is nan."}
    (stopped / "stopped.json").write_text(json.dumps(note))
    status(stopped)
    assert "batchgnn train" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "finished", "expected"),
    [
        ("RUNNING", False, "To end them: batchgnn cancel FOLDER"),
        ("FAILED", False, "Next: batchgnn slurm submit FOLDER"),
        (None, False, "Next: batchgnn slurm submit FOLDER"),
        ("COMPLETED", True, "Next: batchgnn report FOLDER/run"),
    ],
)
def test_a_pipeline_is_ended_submitted_or_reported(
    tmp_path, monkeypatch, state, finished, expected
):
    make_run(tmp_path / "run", finished=finished)
    (tmp_path / "jobs").mkdir()
    jobs = [] if state is None else [Submitted("train", "12", False)]
    monkeypatch.setattr(next_step.queue, "states", lambda number: [JobState(number, state)])
    _, runs, _ = found(tmp_path)
    said = next_step.after_pipeline(tmp_path, jobs, runs)
    assert said.replace(str(tmp_path), "FOLDER") == expected
