"""`batchgnn status` and `cancel` of runs on this machine, and what they ask of a Slurm."""

import json
import os
import signal

import pytest
from commands import finish, refused, start, succeed
from graphs import learnable_graph, shards_of
from system.test_signals import Running

from batchgnn.launch.queue import JobState, states
from batchgnn.launch.slurm_cli import JOBS, SCRIPTS

OPTIONS = ["--layers", 2, "--fanouts", 3, 2, "--hidden", 8, "--batch-size", 8, "--epochs", 2000]

SQUEUE = """#!/bin/bash
echo "$@" >> {calls}
case "$*" in
*"-j 12 "*) echo "12|RUNNING|1:02|58:58|n[1-4]";;
*"-j 13 "*) echo "13_0|RUNNING|0:10|9:50|n5"; echo "13_1|PENDING|0:00|10:00|(Resources)";;
*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;;
esac
"""
SACCT = """#!/bin/bash
case "$*" in
*"-j 13 "*) echo "13_2|COMPLETED|00:10:00";;
*"-j 14 "*) echo "14|CANCELLED by 1000|00:00:07";;
*"-j 15 "*) ;;
*) exit 1;;
esac
"""
SCONTROL = """#!/bin/bash
case "$*" in
*"job 15") echo "JobId=15 JobName=a UserId=b(1) JobState=FAILED RunTime=00:01:00 ExitCode=1:0";;
*) exit 1;;
esac
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("status") / "shards")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that answer as Slurm's do; the file of calls to squeue and scancel."""
    calls, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    scancel = f'#!/bin/bash\necho scancel "$@" >> {calls}\n'
    texts = {"squeue": SQUEUE.format(calls=calls), "sacct": SACCT, "scontrol": SCONTROL}
    for name, text in {**texts, "scancel": scancel}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("12", [JobState("12", "RUNNING", "1:02", "58:58", "n[1-4]")]),
        (
            "13",
            [
                JobState("13_0", "RUNNING", "0:10", "9:50", "n5"),
                JobState("13_1", "PENDING", "0:00", "10:00", "(Resources)"),
                JobState("13_2", "COMPLETED", "00:10:00"),
            ],
        ),
        ("14", [JobState("14", "CANCELLED", "00:00:07")]),
        ("15", [JobState("15", "FAILED", "00:01:00")]),
        ("16", []),
    ],
    ids=["runs", "array", "by accounting", "from memory", "forgotten"],
)
def test_what_slurm_says_of_a_job(slurm, number, expected):
    assert states(number) == expected


def test_a_pipelines_jobs_are_asked_for_and_ended_by_number(slurm, tmp_path):
    jobs = [("convert", "14"), ("train", "12"), ("evaluate", "13"), ("report", "16")]
    (tmp_path / SCRIPTS).mkdir()
    (tmp_path / SCRIPTS / JOBS).write_text(
        json.dumps([{"step": step, "number": number} for step, number in jobs])
    )
    said = succeed("status", tmp_path)
    assert "convert    job 14: CANCELLED after 00:00:07\n" in said
    assert "train      job 12: RUNNING for 1:02 on n[1-4], 58:58 left\n" in said
    assert "evaluate   job 13: 3 runs, 1 COMPLETED, 1 PENDING, 1 RUNNING\n" in said
    assert "report     job 16: Slurm knows nothing of it any more\n" in said
    assert all(" -j 1" in line for line in slurm.read_text().splitlines())
    succeed("cancel", tmp_path)
    ended = [line for line in slurm.read_text().splitlines() if line.startswith("scancel")]
    assert ended == ["scancel 13_0 13_1", "scancel --batch --signal=TERM 12"]
    succeed("cancel", tmp_path, "--now")
    assert slurm.read_text().splitlines()[-1] == "scancel 12 13_0 13_1"


def test_a_run_on_this_machine(shards, tmp_path):
    out = tmp_path / "run"
    process = start("train", shards, "--run", out, *OPTIONS)
    with Running.of(process, out):
        said = succeed("status", out)
        assert said.startswith(f"{out}: trains 2000 epochs, epoch ")
        assert "left\n  epoch " in said
        assert "val_accuracy" in said
        assert "saves its state and ends" in succeed("cancel", out)
        assert finish(process, 20).returncode == 128 + signal.SIGTERM
    assert "by a signal, was ended; go on with --resume" in succeed("status", out)
    assert "nothing of it runs or waits" in succeed("cancel", out)
    process = start("train", shards, "--run", out, "--resume")
    with Running.of(process, out):
        while "trains" not in (said := succeed("status", out)):
            assert "was ended" in said
        assert "is ended" in succeed("cancel", out, "--now")
        assert finish(process, 20).returncode == -signal.SIGKILL
    assert "does not run, as far as is known here" in succeed("status", out)
    more = len((out / "metrics.jsonl").read_text().splitlines()) + 1
    succeed("train", shards, "--run", out, "--resume", "--epochs", more)
    assert f"{out}: finished; test accuracy " in succeed("status", out)


def test_what_is_no_run_is_named(tmp_path):
    assert "is neither a run folder" in refused("status", tmp_path)
