"""Accuracy on real graphs reaches published figures: every recipe of tests/recipes, for real."""

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from shards import DATA

from batchgnn.modes.assembly import settings_of

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
QUICK = {"cora-gcn"}
RUN_TIMEOUT_S = 900


def recipe_parameters():
    """Each recipe; all but the quickest are slow."""
    return [
        pytest.param(path, id=path.stem, marks=() if path.stem in QUICK else pytest.mark.slow)
        for path in RECIPES
    ]


def batchgnn(*arguments):
    """Run a command of `batchgnn`, as a user does."""
    command = [sys.executable, "-m", "batchgnn", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=RUN_TIMEOUT_S, stdout=subprocess.DEVNULL)


def shards_of(recipe, folder):
    """Convert and cut the recipe's graph."""
    source = DATA / "static" / f"{recipe['graph']}.npz"
    if not source.is_file():
        pytest.skip(f"{source} is absent: set BATCHGNN_DATA to the folder of real graphs")
    batchgnn("data", "convert", "npz", source, folder / "graph.h5", *recipe["convert"])
    batchgnn("partition", folder / "graph.h5", folder / "shards", "--shards", 4)
    return folder / "shards"


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("path", recipe_parameters())
def test_recipe_reaches_its_score(path, tmp_path):
    recipe = tomllib.loads(path.read_text())
    shards, begin, scores = shards_of(recipe, tmp_path), time.monotonic(), []
    config = tmp_path / "train.toml"
    config.write_text(tomli_w.dumps(recipe["train"]))
    for split in recipe.get("splits", [0]):
        for seed in recipe["seeds"]:
            run = tmp_path / f"run-{split}-{seed}"
            chosen = ("--config", config, "--seed", seed, "--split-index", split)
            launch = ("launch", "-n", recipe["ranks"], "--threads", 1, "--")
            batchgnn(*launch, "train", shards, "--run", run, *chosen)
            result = json.loads((run / "result.json").read_text())
            scores.append(result[f"test_{result['metric']}"])
    mean = float(np.mean(scores))
    each = " ".join(f"{score:.3f}" for score in scores)
    print(f"\n{path.stem}: mean {mean:.4f} of {each}, {time.monotonic() - begin:.0f} s")
    assert mean >= recipe["at_least"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_holds_settings(path):
    recipe = tomllib.loads(path.read_text())
    options = {name.replace("-", "_"): value for name, value in recipe["train"].items()}
    assert settings_of(options).given == options
    assert 0 < recipe["at_least"] < 1
