"""A trained model serves another cut, and another graph with the same features and classes."""

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
    np.testing.assert_allclose(cut["probability"], own["probability"], rtol=1e-4, atol=1e-6)
    succeed("export", run, tmp_path / "c" / "model.safetensors", "--shards", other)


def test_another_graph_is_scored(run, tmp_path):
    other = shards_of(learnable_graph(num_vertices=300), tmp_path / "other")
    assert "test_accuracy" in succeed("evaluate", run, "--shards", other)


@pytest.mark.parametrize("num_features", [11, 13])
def test_a_graph_with_other_features_is_refused(run, tmp_path, num_features):
    graph = learnable_graph()
    graph = replace(graph, features=np.resize(graph.features, (len(graph.label), num_features)))
    other = shards_of(graph, tmp_path / "other")
    said = refused("evaluate", run, "--shards", other)
    assert f"{other} has num_features {num_features}, and {run} was trained with 12" in said
