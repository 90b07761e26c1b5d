"""--feature-dtype and --feature-cache as commands: what is said, kept, scored and refused."""

import json

import numpy as np
import pytest
from commands import refused, succeed
from graphs import learnable_graph
from jobs import arrays, metrics
from shards import store_graph

OPTIONS = ["--layers", 2, "--fanouts", 4, 3, "--hidden", 16, "--batch-size", 60, "--epochs", 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A graph store, and its shards in full and in half width."""
    folder = tmp_path_factory.mktemp("rows")
    store_graph(learnable_graph(), folder / "g.h5")
    for name in ("float32", "bfloat16"):
        cut = ["--shards", 3, "--method", "random", "--feature-dtype", name]
        succeed("partition", folder / "g.h5", folder / name, *cut)
    return folder


def result_of(run):
    return json.loads((run / "result.json").read_text())


def probabilities(run, path):
    succeed("predict", run, path)
    return arrays(path)["probability"]


def test_half_width_from_the_shards_or_on_reading(folder, tmp_path):
    """The same model either way, on any ranks; scores of `evaluate` are those of the run."""
    asked, stored = tmp_path / "asked", tmp_path / "stored"
    half = ["--feature-dtype", "bfloat16", "--feature-cache", "1M"]
    succeed("train", folder / "float32", "--run", asked, *OPTIONS, *half, ranks=2)
    succeed("train", folder / "bfloat16", "--run", stored, *OPTIONS)
    assert 'feature-dtype = "bfloat16"' in (stored / "config.toml").read_text()
    for run in (asked, stored):
        assert result_of(run)["exactness"] == "exact; features rounded to bfloat16"
    losses = [[line["loss"] for line in metrics(run)] for run in (asked, stored)]
    np.testing.assert_allclose(*losses, rtol=1e-5)

    result, lines = result_of(asked), metrics(asked)
    assert all(line["feature_cache_hits"] == line["remote_input_rows"] > 0 for line in lines)
    assert result["feature_cache_hits"] == sum(line["feature_cache_hits"] for line in lines)
    assert result["feature_cache_hit_rate"] == 1
    assert "feature_cache_hits" not in result_of(stored)

    printed = json.loads(succeed("evaluate", asked))
    assert printed["test_accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    np.testing.assert_allclose(
        probabilities(asked, tmp_path / "a.h5"),
        probabilities(stored, tmp_path / "b.h5"),
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_resume_keeps_the_width_and_may_change_the_cache(folder, tmp_path):
    run = tmp_path / "run"
    line = ["train", folder / "float32", "--run", run, *OPTIONS, "--feature-dtype", "float16"]
    succeed(*line)
    more = ["--resume", "--epochs", 4]
    assert "was trained with another --feature-dtype" in refused(
        "train", folder / "float32", "--run", run, *more, "--feature-dtype", "bfloat16"
    )
    succeed("train", folder / "float32", "--run", run, *more, "--feature-cache", "1M", ranks=2)
    assert len(metrics(run)) == 4
    assert "feature_cache_hit_rate" in metrics(run)[-1]


def test_a_part_of_the_remote_rows_is_found_in_a_small_cache(folder, tmp_path):
    options = [*OPTIONS, "--feature-cache", "4K"]
    succeed("train", folder / "float32", "--run", tmp_path / "run", *options, ranks=2)
    result = result_of(tmp_path / "run")
    assert result["exactness"] == "exact"
    assert 0.2 < result["feature_cache_hit_rate"] < 1


REFUSED = {
    "wider than the shards": (
        ["bfloat16", "--feature-dtype", "float32"],
        "--feature-dtype float32: these shards hold bfloat16",
    ),
    "no size": (["float32", "--feature-cache", "lots"], "'lots' is no size in bytes"),
    "no row": (["float32", "--feature-cache", "70"], "--feature-cache 70 B holds no row"),
}


@pytest.mark.parametrize("ranks", [None, 2])
@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_one_message(folder, tmp_path, words, message, ranks):
    shards, *options = words
    run = ["--run", tmp_path / "run", *OPTIONS, *options]
    assert refused("train", folder / shards, *run, ranks=ranks).count(message) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ranks", [None, 2])
def test_a_number_too_large_for_float16_is_named(tmp_path, ranks):
    graph = learnable_graph()
    graph.features[17, 4] = -1e6
    store_graph(graph, tmp_path / "g.h5")
    cut = ["partition", tmp_path / "g.h5", tmp_path / "s", "--shards", 2]
    message = "feature 4 of vertex 17 is -1e+06, too large for float16"
    assert message in refused(*cut, "--feature-dtype", "float16")
    succeed(*cut)
    run = ["--run", tmp_path / "run", *OPTIONS, "--feature-dtype", "float16"]
    assert message in refused("train", tmp_path / "s", *run, ranks=ranks)
