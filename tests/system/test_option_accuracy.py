"""Options that make training faster, and more ranks, leave the accuracy where it was."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from system.test_recipes import batchgnn, shards_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RECIPES = Path(__file__).parents[1] / "recipes"
PLAIN = {"macrobatch": 1, "overlap": False}
SAME_NUMBERS = {
    "macrobatch": 8, "overlap": True, "topology": "node-shared", "feature-cache": "64M",
}  # fmt: skip
OPTIONS = {
    "macrobatch, overlap, shared topology, feature cache": (SAME_NUMBERS, 0.005),
    "aggregate cache": (SAME_NUMBERS | {"aggregate-cache": "memory"}, 0.005),
    "bfloat16": (SAME_NUMBERS | {"feature-dtype": "bfloat16"}, 0.01),
}
"What is set, and how far the mean score may be from that of PLAIN."


@pytest.mark.parametrize("graph", ["pubmed", "coauthor-cs", "wordnet"])
def test_accuracy_stays(graph, tmp_path):
    recipe = tomllib.loads((RECIPES / f"{graph}-sage.toml").read_text())
    recipe["train"].pop("input-dropout", None)  # which the aggregate cache refuses
    shards = shards_of(recipe, tmp_path)

    def score(name, options):
        config, scores = tmp_path / f"{name}.toml", []
        config.write_text(tomli_w.dumps(recipe["train"] | options))
        for seed in recipe["seeds"]:
            run = tmp_path / f"{name}-{seed}"
            launch = ("launch", "-n", recipe["ranks"], "--threads", 1, "--")
            batchgnn(*launch, "train", shards, "--run", run, "--config", config, "--seed", seed)
            result = json.loads((run / "result.json").read_text())
            scores.append(result[f"test_{result['metric']}"])
        print(f"\n{graph}, {name}: {np.mean(scores):.4f} of", *np.round(scores, 4), end="")
        return float(np.mean(scores))

    plain = score("plain", PLAIN)
    found = {name: score(name, options) for name, (options, _) in OPTIONS.items()}
    for name, (_, most) in OPTIONS.items():
        assert found[name] == pytest.approx(plain, abs=most), name


def test_accuracy_does_not_fall_with_ranks(tmp_path):
    """At equal epochs, because a batch is that of all ranks together."""
    sizes = ("--vertices", 200_000, "--degree", 48, "--features", 100, "--classes", 47)
    batchgnn("data", "generate", "communities", tmp_path / "g.h5", *sizes)
    batchgnn("partition", tmp_path / "g.h5", tmp_path / "shards", "--shards", 4)
    settings = {"model": "sage", "layers": 3, "hidden": 64, "fanouts": [15, 10, 5],
                "batch-size": 1000, "epochs": 2, "lr": 0.003}  # fmt: skip
    config, scores = tmp_path / "train.toml", []
    config.write_text(tomli_w.dumps(settings))
    for ranks in (1, 2, 4):
        run = tmp_path / f"run-{ranks}"
        launch = ("launch", "-n", ranks, "--threads", 1, "--")
        batchgnn(*launch, "train", tmp_path / "shards", "--run", run, "--config", config)
        scores.append(json.loads((run / "result.json").read_text())["test_accuracy"])
    print("\naccuracy on 1, 2, 4 ranks:", *np.round(scores, 4), end="")
    assert scores == pytest.approx([scores[0]] * 3, abs=0.002)
