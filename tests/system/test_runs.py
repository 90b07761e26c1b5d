"""Whole runs: early stopping, several labels, several splits, predictions, against plain NumPy."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from commands import succeed
from graphs import learnable_graph, shards_of
from jobs import arrays, metrics
from safetensors.numpy import load_file

OPTIONS = ["--layers", 2, "--fanouts", 6, 4, "--hidden", 16, "--batch-size", 60, "--lr", 0.01]
TEST = 3


def train(shards, run, *options, ranks=None):
    """The lines of metrics.jsonl, and result.json."""
    succeed("train", shards, "--run", run, *OPTIONS, *options, ranks=ranks)
    return metrics(run), json.loads((run / "result.json").read_text())


def predicted(run, out, *options, ranks=None):
    succeed("predict", run, out, *options, ranks=ranks)
    return arrays(out)


@pytest.fixture(scope="module")
def names():
    return np.array([f"vertex-{v * 7919 % 400}".encode() for v in range(400)])


@pytest.fixture(scope="module")
def shards(names, tmp_path_factory):
    return shards_of(learnable_graph(names=names), tmp_path_factory.mktemp("runs") / "shards")


def test_early_stopping_keeps_the_best_epoch(shards, tmp_path):
    run, epochs = tmp_path / "run", 60
    options = ["--epochs", epochs, "--patience", 2, "--eval-every", 3]
    lines, result = train(shards, run, *options)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    scores = {line["epoch"]: line["val_accuracy"] for line in lines if "val_accuracy" in line}
    assert sorted(scores) == list(range(3, len(lines) + 1, 3))
    best = max(scores, key=scores.__getitem__)  # the first of equals
    assert result["best_epoch"] == best
    assert result["epochs"] == len(lines) == best + 2 * 3 < epochs
    assert result["val_accuracy"] == scores[best]
    assert result["test_accuracy"] == lines[best - 1]["test_accuracy"]
    assert json.loads(succeed("evaluate", run)) == {"test_accuracy": result["test_accuracy"]}


def test_predictions_come_in_the_order_of_the_graph(shards, names, tmp_path):
    run, graph = tmp_path / "run", learnable_graph()
    _, result = train(shards, run, "--epochs", 5, ranks=2)
    alone = predicted(run, tmp_path / "1.h5")
    np.testing.assert_array_equal(alone["original_id"], names)
    np.testing.assert_allclose(alone["probability"].sum(axis=1), 1, rtol=1e-5)
    test = graph.split == TEST
    right = alone["probability"].argmax(axis=1)[test] == graph.label[test]
    assert result["test_accuracy"] == pytest.approx(right.mean(), abs=1e-9)
    assert right.mean() > 0.6
    together = predicted(run, tmp_path / "3.h5", ranks=3)
    np.testing.assert_array_equal(together["original_id"], names)
    np.testing.assert_allclose(together["probability"], alone["probability"], rtol=1e-4, atol=1e-6)
    succeed("predict", run, tmp_path / "t.csv", ranks=2)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["original_id"].encode() for row in rows] == names.tolist()
    classes = [int(row["predicted"]) for row in rows]
    chances = [[float(row[f"probability_{c}"]) for c in range(4)] for row in rows]
    np.testing.assert_allclose(chances, alone["probability"], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(classes, np.argmax(chances, axis=1))
    embedding = predicted(run, tmp_path / "e.h5", "--output", "embedding", ranks=3)
    assert embedding["embedding"].shape == (400, 16)


def test_the_exported_names_are_those_of_pyg(shards, tmp_path):
    train(shards, tmp_path / "run", "--epochs", 1)
    succeed("export", tmp_path / "run", tmp_path / "model.safetensors")
    shapes = {name: a.shape for name, a in load_file(tmp_path / "model.safetensors").items()}
    assert shapes == {
        "convs.0.lin_l.weight": (16, 12),
        "convs.0.lin_l.bias": (16,),
        "convs.0.lin_r.weight": (16, 12),
        "convs.1.lin_l.weight": (4, 16),
        "convs.1.lin_l.bias": (4,),
        "convs.1.lin_r.weight": (4, 16),
    }


def test_several_labels_a_vertex(tmp_path):
    graph = learnable_graph(multilabel=True)
    shards, run = shards_of(graph, tmp_path / "shards"), tmp_path / "run"
    lines, result = train(shards, run, "--epochs", 15, ranks=2)
    assert result["metric"] == "micro-f1"
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    test = graph.split == TEST
    said = predicted(run, tmp_path / "out.h5", ranks=2)["probability"][test] > 0.5
    truth = graph.label[test] == 1
    f1 = 2 * (said & truth).sum() / (said.sum() + truth.sum())
    assert result["test_micro-f1"] == pytest.approx(f1, abs=1e-9)
    every_label = 2 * truth.sum() / (truth.size + truth.sum())
    assert f1 > every_label + 0.02


def test_one_of_several_splits(tmp_path):
    """The second split trains on one class alone: its model knows no other."""
    graph = learnable_graph()
    rng = np.random.default_rng(5)
    second = np.where(graph.label == 2, rng.choice([1, 1, 2, TEST], 400), TEST)
    second = np.where(graph.label >= 0, second, 0).astype(np.uint8)
    both = replace(graph, split=np.stack([graph.split, second], axis=1))
    shards, run = shards_of(both, tmp_path / "shards"), tmp_path / "run"
    _, result = train(shards, run, "--epochs", 20, "--split-index", 1, ranks=2)
    said = predicted(run, tmp_path / "out.h5")["probability"].argmax(axis=1)
    assert (said == 2).mean() > 0.9
    assert result["val_accuracy"] == 1
    test = second == TEST
    assert result["test_accuracy"] == pytest.approx((said == graph.label)[test].mean(), abs=1e-9)
    assert json.loads(succeed("evaluate", run, "--split", "train", ranks=2)) == {
        "train_accuracy": (said == graph.label)[second == 1].mean()
    }
    _, result = train(shards, tmp_path / "first", "--epochs", 5)
    assert result["test_accuracy"] > 0.6
