"""Damaged run folders: each command names the file and what is wrong; `cancel` always works."""

import json
import os
import re
import subprocess
import sys

import psutil
import pytest
from runs import make_run

from batchgnn.base.errors import BatchGNNError, StoreError
from batchgnn.launch.status import cancel, status
from batchgnn.report.command import report
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_state import JOB, LOCK, PROGRESS, STOPPED, note_job

TEXTS = {
    "empty": b"",
    "cut off": b'{"epoch": 1, "lo',
    "binary": bytes(range(256)),
    "a list": b"[1, 2]\n",
    "a number": b"7\n",
    "other types": b'{"pid": "x", "epoch": [], "requeue": 3, "metric": 1, "best_epoch": "two"}\n',
}
FILES = (JOB, PROGRESS, STOPPED, "result.json", "metrics.jsonl", "config.toml")


@pytest.fixture
def run(tmp_path):
    """A run with all its files."""
    make_run(tmp_path / "run")
    note_job(tmp_path / "run", 1, os.uname().nodename)
    progress = {"epoch": 2, "epochs": 5, "step": 1, "num_steps": 4, "time": 1.8e9}
    (tmp_path / "run" / PROGRESS).write_text(json.dumps(progress))
    (tmp_path / "run" / STOPPED).write_text('{"requeue": false, "epoch": 1, "step": 0}')
    os.utime(tmp_path / "run" / "result.json")
    return tmp_path / "run"


JOBS_TEXTS = {
    **{name: text for name, text in TEXTS.items() if name != "a list"},
    "a list of numbers": b"[1, 2]\n",
    "no number": b'[{"step": "train", "number": "-rf /", "is_array": false}]',
    "other keys": b'[{"step": "train"}]',
}


@pytest.fixture
def pipeline(run):
    """The folder of a pipeline whose run is `run`, which no process trains."""
    (run / JOB).unlink()
    (run.parent / "jobs").mkdir()
    return run.parent


@pytest.mark.parametrize("what", JOBS_TEXTS)
def test_a_damaged_list_of_jobs_is_named_and_the_runs_are_told_and_ended(pipeline, capsys, what):
    path = pipeline / "jobs" / "jobs.json"
    path.write_bytes(JOBS_TEXTS[what])
    with pytest.raises(StoreError, match=r"jobs\.json(: job 1)? is damaged: "):
        status(pipeline)
    assert f"{pipeline / 'run'}: " in capsys.readouterr().out
    cancel(pipeline)
    said = capsys.readouterr()
    assert said.err.startswith(f"batchgnn: {path}")
    assert "nothing of it runs" in said.out


def is_harmless(name, what):
    """What a job killed in the middle of it may leave: a half line, no settings yet."""
    unfinished = name == "metrics.jsonl" and what in ("empty", "cut off")
    return unfinished or (name == "config.toml" and what == "empty")


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("name", FILES)
def test_status_says_what_is_damaged_and_prints_the_rest(run, capsys, name, what):
    (run / name).write_bytes(TEXTS[what])
    if is_harmless(name, what):
        status(run)
    else:
        with pytest.raises(StoreError, match="is damaged: ") as error:
            status(run)
        assert str(error.value).startswith(str(run / name))
    assert capsys.readouterr().out.startswith(f"{run}: ")


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("name", FILES)
def test_cancel_ends_the_run_whatever_is_damaged(run, name, what):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(process.pid).create_time()
    holder = {"host": os.uname().nodename, "pid": process.pid, "pid_started": started}
    for held in (JOB, LOCK):
        (run / held).write_text(json.dumps(holder))
    (run / name).write_bytes(TEXTS[what])
    cancel(run)
    assert process.wait(20) == -15


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "config.toml"])
def test_a_report_is_made_or_names_the_file(run, name, what):
    (run / name).write_bytes(TEXTS[what])
    if (name, what) == ("config.toml", "empty"):
        report(run)
    else:
        with pytest.raises(BatchGNNError, match=re.escape(str(run))):
            report(run)


OF_THE_REPORT = {
    "threads": ("result.json", {"threads": "4"}, "threads is '4'"),
    "ranks that differ": ("result.json", {"rank_seeds": [1]}, "it tells of 1 and of 2 ranks"),
    "no rank": ("result.json", {"hosts": []}, "it tells of 0 and of 2 ranks"),
    "plan": ("result.json", {"plan": [1]}, r"plan is \[1\]"),
    "phases": ("metrics.jsonl", {"rank_phase_seconds": {"main": 3}}, "rank_phase_seconds is"),
    "lanes": (
        "metrics.jsonl", {"rank_phase_seconds": {"main": {"wait": [1, 2, 3]}}},
        "it tells of 2 and of 3 ranks",
    ),
    "bytes": ("metrics.jsonl", {"collective_bytes": {"rows": "x"}}, "collective_bytes is"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "said"), OF_THE_REPORT.values(), ids=OF_THE_REPORT)
def test_a_value_of_another_kind_is_named_by_the_report(run, name, change, said):
    first, *rest = (run / name).read_text().split("\n" if name == "metrics.jsonl" else "\f")
    changed = json.dumps(json.loads(first) | change)
    (run / name).write_text("\n".join([changed, *rest]))
    with pytest.raises(StoreError, match=rf"{name}(: line 1)? is damaged: {said}"):
        report(run)


SETTINGS = {
    "unknown": ("hiden = 64", "--hiden: there is no such option"),
    "word": ('hidden = "many"', "--hidden is 'many', which is of another kind"),
    "fraction": ("hidden = 1.5", "--hidden is 1.5"),
    "range": ("dropout = 2.0", "--dropout is 2.0"),
    "nan": ("lr = nan", "--lr is nan"),
    "no such mode": ('mode = "quick"', "--mode quick: there is none of that name"),
    "fanouts": ('fanouts = ["a"]', "--fanouts is ('a',)"),
    "no list": ("fanouts = 5", "--fanouts is 5"),
}


@pytest.mark.parametrize(("line", "meant"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_no_run_wrote_are_named(tmp_path, line, meant):
    (tmp_path / "config.toml").write_text(f'shards = "s"\n{line}\n')
    with pytest.raises(StoreError) as error:
        RunFolder(tmp_path).shards_and_settings()
    assert str(error.value).startswith(f"{tmp_path / 'config.toml'} is damaged: ")
    assert meant in str(error.value)


def test_a_damaged_result_is_no_result_to_a_resume(run):
    folder = RunFolder(run)
    assert folder.has_result(5)
    assert not folder.has_result(6)
    for text in TEXTS.values():
        (run / "result.json").write_bytes(text)
        assert not folder.has_result(5)


def test_metrics_that_are_no_text_are_named_by_a_resume(run):
    (run / "metrics.jsonl").write_bytes(TEXTS["binary"])
    with pytest.raises(StoreError, match=r"metrics\.jsonl is damaged"):
        RunFolder(run).cut_metrics(1)
