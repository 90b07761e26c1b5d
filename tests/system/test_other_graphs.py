"""A trained model serves another cut, and another graph with the same features and classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import refused, succeed
from graphs import learnable_graph, shards_of
from jobs import arrays

OPTIONS = ["--layers", 2, "--fanouts", 6, 4, "--hidden", 16, "--batch-size", 60, "--epochs", 2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    succeed(
        "train",
        shards_of(learnable_graph(), folder / "shards"),
        "--run",
        folder / "run",
        *OPTIONS,
    )
    return folder / "run"


def test_another_cut_has_the_same_predictions_and_folders_are_made(run, tmp_path):
    other = shards_of(learnable_graph(), tmp_path / "cut", num_shards=3)
    succeed("predict", run, tmp_path / "a" / "own.h5")
    succeed("predict", run, tmp_path / "b" / "cut.h5", "--shards", other)
    own, cut = arrays(tmp_path / "a" / "own.h5"), arrays(tmp_path / "b" / "cut.h5")
    np.testing.assert_allclose(cut["probability"], own["probability"], rtol=0, atol=1e-5)
    succeed("export", run, tmp_path / "c" / "model.safetensors", "--shards", other)


def test_another_graph_is_scored(run, tmp_path):
    other = shards_of(learnable_graph(num_vertices=300), tmp_path / "other")
    assert "test_accuracy" in succeed("evaluate", run, "--shards", other)


def beside(a, b):
    """The graph of both, without an edge between them, whose test vertices are those of b."""
    n = a.num_vertices
    return replace(
        a,
        source=np.concatenate([a.source, b.source + n]),
        target=np.concatenate([a.target, b.target + n]),
        features=np.concatenate([a.features, b.features]),
        label=np.concatenate([a.label, b.label]),
        split=np.concatenate([np.where(a.split == 3, 0, a.split), b.split]),
    )


def test_half_a_graph_trains_for_the_other_half(run, tmp_path):
    """What is predicted of vertices never seen scores as where both halves are one store."""
    unseen = learnable_graph(num_vertices=300)
    unseen = replace(unseen, split=np.where(unseen.label < 0, 0, 3).astype(np.uint8))
    other = shards_of(unseen, tmp_path / "other", num_shards=3)
    both = shards_of(beside(learnable_graph(), unseen), tmp_path / "both")
    succeed("predict", run, tmp_path / "other.h5", "--shards", other)
    chances = arrays(tmp_path / "other.h5")["probability"]
    right = (chances.argmax(axis=1) == unseen.label)[unseen.label >= 0]
    said = json.loads(succeed("evaluate", run, "--shards", both))
    assert said["test_accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert right.mean() > 0.35  # of four classes
    succeed("predict", run, tmp_path / "both.h5", "--shards", both)
    of_both = arrays(tmp_path / "both.h5")["probability"][-300:]
    np.testing.assert_allclose(of_both, chances, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_features", [11, 13])
def test_a_graph_with_other_features_is_refused(run, tmp_path, num_features):
    graph = learnable_graph()
    graph = replace(graph, features=np.resize(graph.features, (len(graph.label), num_features)))
    other = shards_of(graph, tmp_path / "other")
    said = refused("evaluate", run, "--shards", other)
    assert f"{other} has num_features {num_features}, and {run} was trained with 12" in said
