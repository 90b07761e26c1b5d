"""A mode and a task with a row of their own are on the command line, in files and in the plan."""

import json
import tomllib

import h5py
import pytest
from graphs import learnable_graph, shards_of
from jobs import metrics
from mpi.ranks import HERE, run_on_ranks

from batchgnn.plan.prediction import TERMS

PROGRAM = HERE / "programs" / "toys.py"
OPTIONS = ("--layers", 2, "--hidden", 8, "--lr", 0.1, "--threads", 1)


def toys(*arguments, ranks=1, status=0):
    """What the command line with the toys prints."""
    done = run_on_ranks(ranks, [PROGRAM, *arguments], timeout_s=280)
    assert done.status == status, done.output
    return done.output


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("toys") / "shards")


def test_a_mode_is_trained_resumed_and_evaluated(shards, tmp_path):
    out = tmp_path / "run"
    line = ("train", shards, "--run", out, "--mode", "toy", "--glide", 0.25, *OPTIONS)
    toys(*line, "--epochs", 2, ranks=2)
    toys("train", "--run", out, "--resume", "--epochs", 5, ranks=1)
    assert tomllib.loads((out / "config.toml").read_text())["gliding"] == {"glide": 0.25}
    result = json.loads((out / "result.json").read_text())
    assert (result["mode"], result["exactness"], result["ranks"]) == ("toy", "exact; a toy", 1)
    assert result["plan"]["terms"][0]["predicted"] == pytest.approx(len(TERMS) * 0.125)
    counted = [line["times_seed"] for line in metrics(out)]
    assert counted == [counted[0] * epoch for epoch in range(1, 6)]
    said = toys("evaluate", out)
    assert json.loads(said)["test_accuracy"] == pytest.approx(result["test_accuracy"])
    assert "finished; test accuracy" in toys("status", out)


def test_its_options_are_its_own(shards, tmp_path):
    assert "Gliding (--mode toy)" in toys("train", "--help")
    said = toys("train", shards, "--run", tmp_path / "run", "--glide", 0.1, status=2)
    assert "--glide is an option of --mode toy, and this is --mode macrobatch" in said
    line = ("train", shards, "--run", tmp_path / "run", "--mode", "toy", "--batch-size", 5)
    assert "and this is --mode toy: leave it out" in toys(*line, status=2)


def test_it_is_planned_beside_the_others(shards):
    plan = json.loads(toys("plan", shards, "--ranks", 2, "--json", *OPTIONS))
    found = {each["mode"]: each for each in plan["modes"]}["toy"]
    assert (found["seconds"], found["steps"]) == (pytest.approx(len(TERMS) * 0.125), 4)


def test_a_task_is_trained_and_predicted(shards, tmp_path):
    out, written = tmp_path / "run", tmp_path / "first.h5"
    line = ("train", shards, "--run", out, "--task", "first-or-not", "--mode", "toy", *OPTIONS)
    toys(*line, "--epochs", 5, ranks=2)
    result = json.loads((out / "result.json").read_text())
    assert (result["task"], result["metric"]) == ("first-or-not", "hits")
    toys("predict", out, written)
    with h5py.File(written) as file:
        assert set(file) == {"is_first", "original_id"}
        assert file["is_first"].dtype == bool
    said = toys("train", shards, "--run", tmp_path / "b", "--metric", "hits", status=2)
    assert "--metric hits is no score of --task multiclass" in said
