"""Runs under way, old and damaged ones have a page of what is there, or one clear message."""

import json
import os
import re
import socket

import psutil
import pytest
from runs import (
    lines_of,
    make_lines,
    make_run,
    mean,
    page_of,
    write_lines,
)

from batchgnn.base.errors import StoreError
from batchgnn.report.command import report
from batchgnn.report.run import read_run


def test_a_run_under_way_has_a_page_of_what_is_there(tmp_path):
    run = tmp_path / "run"
    make_run(run, num_epochs=3, finished=False)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("epochs = 3", "epochs = 30"))
    rows = page_of(run).tables["Summary of the runs"].rows
    assert re.fullmatch(
        r"not finished: 3 of 30 epochs, the last written \d+ seconds ago: still running, or killed",
        rows["State"][0],
    )
    assert rows["Exactness"] == ["known when training ends"]
    job = {"host": socket.gethostname(), "pid": os.getpid()}
    started = psutil.Process().create_time()
    (run / "job.json").write_text(json.dumps(job | {"pid_started": started}))
    assert read_run(run, "run").state == "running: 3 of 30 epochs"
    (run / "job.json").write_text(json.dumps(job | {"pid_started": 0}))
    assert read_run(run, "run").state == (
        "ended too soon, killed or by an error, after 3 of 30 epochs; --resume goes on"
    )
    (run / "stopped.json").write_text('{"requeue": true, "epoch": 3, "step": 0}')
    assert (
        read_run(run, "run").state == "stopped by a signal after 3 of 30 epochs; --resume goes on"
    )


def test_a_result_of_fewer_epochs_is_of_before_the_resume(run):
    write_lines(run, make_lines(9, 2))
    assert read_run(run, "run").state.startswith("not finished: 9 of 5 epochs")


def test_what_a_killed_job_left_of_its_last_line_is_passed_over(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')
    shown = page_of(run)
    assert len(shown.tables["Epochs"].rows) == 5
    assert "Line 6 of metrics.jsonl is cut off and was left out." in shown.words()


def test_a_run_of_an_older_version_says_what_it_lacks(run):
    lines = lines_of(run)
    for line in lines:
        del line["rank_phase_seconds"], line["rank_sent_bytes"]
    write_lines(run, lines)
    (run / "timeline.json").unlink()
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("timeline-epoch = 2\n", ""))
    shown = page_of(run)
    assert {"balance", "timeline"}.isdisjoint(shown.sections)
    assert {"learning", "time", "communication"} <= set(shown.sections)
    assert "seconds are those of the slowest rank" in shown.words()
    assert "An older version wrote this run: it has no timeline." in shown.words()
    table = shown.tables["Seconds an epoch by phase (means without the first epoch)"]
    slowest = [line["phase_seconds"]["sample"] for line in lines[1:]]
    assert table.rows["sample (background)"][0] == mean(slowest)


@pytest.mark.parametrize(
    ("spoil", "meant"),
    [
        (lambda run: run.rename(run.with_name("gone")), "is no folder: needed a run folder"),
        (lambda run: (run / "config.toml").unlink(), "has no config.toml: needed a run folder"),
        (lambda run: (run / "config.toml").write_text("a = "), r"config\.toml is damaged"),
        (lambda run: (run / "metrics.jsonl").unlink(), r"no finished epoch yet .*missing"),
        (lambda run: (run / "metrics.jsonl").write_text(""), r"no finished epoch yet .*empty"),
        (lambda run: (run / "metrics.jsonl").write_text('{"epo'), "line 1 is damaged"),
        (lambda run: (run / "metrics.jsonl").write_text("[]\n{}\n"), "line 1 is damaged"),
        (lambda run: (run / "result.json").write_text("{"), r"result\.json is damaged"),
        (lambda run: (run / "timeline.json").write_text("{}"), r"timeline\.json is no timeline"),
        (lambda run: (run / "timeline.json").write_bytes(b"\xff"), r"timeline\.json is no timel"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_nothing_is_written(run, spoil, meant):
    out = run.parent / "out.html"
    spoil(run)
    with pytest.raises(StoreError, match=meant):
        report(run, out=out)
    assert not out.exists()
