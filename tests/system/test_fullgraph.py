"""`train --mode fullgraph` as a user runs it: resumed, evaluated, predicted; real graphs."""

import json
from itertools import pairwise

import h5py
import numpy as np
import pytest
from commands import refused, succeed
from graphs import learnable_graph, shards_of
from jobs import last_checkpoint, losses, metrics
from shards import DATA

OPTIONS = [
    *("--mode", "fullgraph", "--model", "gcn", "--layers", 4, "--hidden", 16, "--lr", 0.01),
    *("--norm", "batch", "--residual", "--checkpoint-seconds", 0),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fullgraph")


@pytest.fixture(scope="module")
def shards(folder):
    return shards_of(learnable_graph(), folder / "shards")


@pytest.fixture(scope="module")
def whole(folder, shards):
    """Six epochs on two ranks."""
    succeed("train", shards, "--run", folder / "whole", *OPTIONS, "--epochs", 6, ranks=2)
    return folder / "whole"


def test_an_epoch_is_a_step_and_a_resume_on_other_ranks_goes_on(folder, shards, whole):
    """The statistics of the norm are in the checkpoint: evaluation after the resume uses them."""
    run = folder / "resumed"
    succeed("train", shards, "--run", run, *OPTIONS, "--epochs", 3, ranks=2)
    succeed("train", shards, "--run", run, "--resume", "--epochs", 6, ranks=3)
    np.testing.assert_allclose(losses(run), losses(whole), rtol=1e-5)
    assert all(later < earlier for earlier, later in pairwise(losses(whole)))
    for a, b in zip(metrics(run), metrics(whole), strict=True):
        assert a["val_accuracy"] == pytest.approx(b["val_accuracy"], abs=0.03)
    assert "parameters" in last_checkpoint(whole)
    result = json.loads((whole / "result.json").read_text())
    assert (result["mode"], result["exactness"]) == ("fullgraph", "exact")
    assert {line["halo_rows"] > 0 for line in metrics(whole)} == {True}


def test_evaluation_and_prediction_are_those_of_training(folder, whole):
    result = json.loads((whole / "result.json").read_text())
    said = json.loads(succeed("evaluate", whole, ranks=3).splitlines()[-1])
    assert said["test_accuracy"] == pytest.approx(result["test_accuracy"])
    succeed("predict", whole, folder / "p.h5", ranks=2)
    with h5py.File(folder / "p.h5") as file:
        order = np.argsort(file["original_id"][:])
        predicted = file["probability"][:][order].argmax(axis=1)
    graph = learnable_graph()
    test = (graph.split == 3) & (graph.label >= 0)
    accuracy = (predicted == graph.label)[test].mean()
    assert accuracy == pytest.approx(result["test_accuracy"])


def test_too_little_memory_is_refused_before_work(folder, shards):
    said = refused("train", shards, "--run", folder / "none", *OPTIONS, "--memory", "100M")
    assert "this needs" in said
    assert "--mode macrobatch" in said
    assert not (folder / "none").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "model"), [("wordnet", "sage"), ("debian-deps", "gcn")])
def test_real_directed_graphs_train_alike_on_any_ranks(tmp_path, name, model):
    source = DATA / "static" / f"{name}.npz"
    if not source.is_file():
        pytest.skip(f"{source} is absent: set BATCHGNN_DATA to the folder of real graphs")
    succeed("data", "convert", "npz", source, tmp_path / "graph.h5", timeout_s=300)
    cut = ["--shards", 4]
    succeed("partition", tmp_path / "graph.h5", tmp_path / "shards", *cut, timeout_s=300)
    seen = []
    for ranks in (1, 2, 3, 4):
        run = tmp_path / f"run-{ranks}"
        line = ["--mode", "fullgraph", "--model", model, "--layers", 3, "--hidden", 32]
        line += ["--epochs", 5, "--eval-every", 5, "--lr", 0.01]
        succeed("train", tmp_path / "shards", "--run", run, *line, ranks=ranks, timeout_s=600)
        seen.append(losses(run))
    print(f"\n{name}: {seen[0]}")
    assert seen[0][-1] < seen[0][0]
    for others in seen[1:]:
        np.testing.assert_allclose(others, seen[0], rtol=1e-5)
