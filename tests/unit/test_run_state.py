"""What is read of a run folder whose run ends, or starts again, while it is read."""

import json
import os
import socket

import pytest
from runs import make_lines, make_run, write_lines

from batchgnn.launch.status import run_lines
from batchgnn.report import run as of_report
from batchgnn.run import run_state
from batchgnn.run.run_state import (
    JOB,
    LOCK,
    PROGRESS,
    RESULT,
    STOPPED,
    Pulse,
    note_job,
    read_run,
)


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


HERE = socket.gethostname()
LATER = 2e9
STANDS = {
    "it trains": ({}, "trains 9 epochs, epoch 3", "running: 2 of 9 epochs"),
    "it trains elsewhere": (
        {JOB: {"host": "n1", "pid": 1, "pid_started": 0}, LOCK: {}},
        "trains 9 epochs, epoch 3",
        "running: 2 of 9 epochs",
    ),
    "it was killed": (
        {JOB: {"host": HERE, "pid": 1, "pid_started": 0}},
        "does not run, as far as is known here; 2 of 9 epochs are done. Go on with --resume",
        "ended too soon, killed or by an error, after 2 of 9 epochs; --resume goes on",
    ),
    "a signal stopped it": (
        {STOPPED: {"requeue": False, "epoch": 2, "step": 1, "time": LATER}},
        "saved in epoch 3 of 9 by a signal, was ended; go on with --resume",
        "stopped by a signal after 2 of 9 epochs; --resume goes on",
    ),
    "an error that would come again stopped it": (
        {STOPPED: {"requeue": False, "epoch": 2, "step": 1, "time": LATER, "why": "It is so."}},
        "ended in epoch 3 of 9. It is so.",
        "ended after 2 of 9 epochs. It is so.",
    ),
    "it was stopped, and started again": (
        {STOPPED: {"requeue": False, "epoch": 2, "step": 1, "time": 1.0}},
        "trains 9 epochs, epoch 3",
        "running: 2 of 9 epochs",
    ),
    "it is on its way out": ({RESULT: {"epochs": 2}}, "finished; test accuracy", "finished"),
    "its result is of before the resume": (
        {RESULT: {"epochs": 1}},
        "trains 9 epochs, epoch 3",
        "running: 2 of 9 epochs",
    ),
}


@pytest.mark.parametrize("name", STANDS)
def test_status_and_report_say_alike_how_a_run_stands(tmp_path, name):
    """After two of its epochs, which a resume made nine of five; this process trains it."""
    files, status, report = STANDS[name]
    run = tmp_path / "run"
    make_run(run, num_epochs=5, finished=False)
    write_lines(run, make_lines(2, 2))
    note_job(run, 2, HERE, 9)
    for file, values in files.items():
        before = json.loads((run / file).read_text()) if file == JOB else {}
        (run / file).write_text(json.dumps(before | values))
    assert run_lines(read_run(run))[0].startswith(f"{run}: {status}")
    assert of_report.read_run(run, "run").state == report


def test_where_a_run_is_agrees_with_its_lines_and_its_last_start(tmp_path):
    run = tmp_path / "run"
    make_run(run, num_epochs=5, finished=False)
    lines = make_lines(5, 2)
    write_lines(run, lines[:3])
    note_job(run, 2, HERE, 5)
    pulse = Pulse(run, 5)
    pulse.beat(4, 1, 8)
    pulse.beat(4, 2, 8)
    assert read_run(run).place == "epoch 4, step 1 of 8"
    pulse.settle()
    assert read_run(run).place == "epoch 4, step 2 of 8"
    write_lines(run, lines[:4])
    assert read_run(run).place == "epoch 5", "the line is newer"
    write_lines(run, lines)
    assert read_run(run).place == ""
    said = json.loads((run / PROGRESS).read_text())
    (run / PROGRESS).write_text(json.dumps(said | {"epoch": 5, "time": 1.0}))
    write_lines(run, lines[:1])
    assert read_run(run).place == "epoch 2", "what an earlier start said counts no more"


def test_a_finished_run_is_finished_in_whatever_order_it_was_copied(tmp_path):
    run = tmp_path / "run"
    make_run(run, num_epochs=5)
    note_job(run, 2, HERE, 5)
    os.utime(run / RESULT, (1e9, 1e9))
    assert read_run(run).stands() == "finished"
    assert of_report.read_run(run, "run").state == "finished"
