"""What is read of a run folder whose run ends, or starts again, while it is read."""

import json
import os
import socket

import pytest

from batchgnn.run import run_state
from batchgnn.run.run_state import JOB, RESULT, STOPPED, note_job, read_run


@pytest.fixture
def run(tmp_path):
    """A run that was stopped, of a process that has ended."""
    ended = {"host": socket.gethostname(), "pid": 1, "pid_started": 0, "ranks": 1}
    (tmp_path / JOB).write_text(json.dumps(ended))
    (tmp_path / STOPPED).write_text(json.dumps({"requeue": False, "epoch": 2, "step": 0}))
    return tmp_path


def meanwhile(monkeypatch, name, happens):
    """Before file `name` is read for the first time, call `happens`."""
    read, left = run_state.read_values, [happens]

    def read_later(file, kinds):
        if file.name == name and left:
            left.pop()()
        return read(file, kinds)

    monkeypatch.setattr(run_state, "read_values", read_later)


def test_a_run_stopped_then_started_again(run):
    before = read_run(run)
    assert before.stopped["epoch"] == 2
    assert not before.is_here
    note_job(run, 1, socket.gethostname())
    after = read_run(run)
    assert after.is_here
    assert not after.stopped


def test_one_started_again_while_it_is_read_runs(run, monkeypatch):
    meanwhile(monkeypatch, STOPPED, lambda: note_job(run, 1, socket.gethostname()))
    state = read_run(run)
    assert state.is_here
    assert not state.stopped


def test_one_that_ends_while_it_is_read_has_run_or_has_its_result(run, monkeypatch):
    note_job(run, 1, socket.gethostname())
    meanwhile(monkeypatch, STOPPED, lambda: (run / RESULT).write_text('{"metric": "accuracy"}'))
    state = read_run(run)
    assert state.is_here
    assert state.result == {"metric": "accuracy"}


def test_a_result_older_than_the_last_start_is_of_the_start_before(run):
    (run / RESULT).write_text('{"metric": "accuracy"}')
    os.utime(run / RESULT, (1e9, 1e9))
    note_job(run, 1, socket.gethostname())
    assert read_run(run).result == {}
