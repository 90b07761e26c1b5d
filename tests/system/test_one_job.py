"""One run folder, one job; a run that has finished is left as it is."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from commands import finish, refused, start, succeed
from graphs import learnable_graph, shards_of
from jobs import wait_while_it_runs

SMALL = ["--layers", 2, "--fanouts", 4, 3, "--hidden", 16, "--batch-size", 60]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("one") / "shards")


def content(run):
    """Bytes and times of all files below a folder."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_second_job_on_a_run_is_refused_and_a_killed_one_is_not_in_the_way(shards, tmp_path):
    run = tmp_path / "run"
    line = ["train", shards, "--run", run, *SMALL, "--checkpoint-seconds", 0]
    process = start(*line, "--epochs", 100000)
    lines = run / "metrics.jsonl"
    wait_while_it_runs(process, lambda: lines.exists() and lines.read_text().count("\n") > 1)
    for again in ([], ["--resume"]):
        said = refused(*line, *again)
        assert f"{run} " in said
    assert f"is being trained by process {process.pid} on host {os.uname().nodename}, since" in said
    process.send_signal(signal.SIGKILL)
    process.communicate()
    epochs = lines.read_text().count("\n") + 2
    succeed(*line, "--resume", "--epochs", epochs)
    assert not (run / "lock.json").exists()


def test_of_two_that_start_at_once_one_trains(shards, tmp_path):
    line = ["train", shards, "--run", tmp_path / "run", *SMALL, "--epochs", 30]
    both = [start(*line), start(*line)]
    ended = sorted((finish(each, 90) for each in both), key=lambda done: done.returncode)
    assert [done.returncode for done in ended] == [0, 2], ended
    assert "is being trained" in ended[1].stderr or "nothing is written over" in ended[1].stderr
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 30


@pytest.mark.parametrize("ranks", [None, 2])
def test_resuming_a_finished_run_changes_nothing(shards, tmp_path, ranks):
    run = tmp_path / "run"
    line = ["train", shards, "--run", run, *SMALL]
    succeed(*line, "--epochs", 2, ranks=ranks)
    before = content(run)
    said = succeed(*line, "--resume", ranks=ranks)
    assert "has finished: give more --epochs to go on" in said
    assert content(run) == before
    (run / "result.json").unlink()
    succeed(*line, "--resume", ranks=ranks)
    assert (run / "result.json").exists()


def test_a_graph_without_features_is_refused_with_what_to_type(tmp_path):
    graph = learnable_graph()
    graph = replace(graph, features=np.empty((len(graph.label), 0), np.float32))
    shards = shards_of(graph, tmp_path / "shards")
    assert "has features" in refused("train", shards, "--run", tmp_path / "run")


def test_a_split_without_seeds_is_refused(tmp_path):
    graph = learnable_graph()
    graph = replace(graph, split=graph.split * 0 + 2)
    shards = shards_of(graph, tmp_path / "shards")
    for mode in ("macrobatch", "fullgraph"):
        said = refused("train", shards, "--run", tmp_path / "run", "--mode", mode)
        assert "split 0 has no training vertices with a label" in said
    assert not (tmp_path / "run").exists()
