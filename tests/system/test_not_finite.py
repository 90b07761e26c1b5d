"""Nan and infinity end a run in their step, on all ranks; nobody uses such weights."""

import re
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from commands import refused, succeed
from graphs import learnable_graph, shards_of
from jobs import arrays, newest_checkpoint

from batchgnn.launch.status import run_lines
from batchgnn.run.run_state import read_run
from batchgnn.store.seal import seal

SMALL = ["--layers", 2, "--fanouts", 4, 3, "--hidden", 16, "--batch-size", 60, "--epochs", 3]
WHOLE = ["--mode", "fullgraph", "--layers", 2, "--hidden", 16, "--epochs", 50]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("finite") / "shards")


@pytest.fixture(scope="module")
def trained(shards):
    run = shards.with_name("run")
    succeed("train", shards, "--run", run, *SMALL)
    return run


@pytest.mark.parametrize("options", [SMALL, WHOLE], ids=["macrobatch", "fullgraph"])
@pytest.mark.parametrize("ranks", [None, 2])
def test_a_step_that_is_not_finite_is_the_last_and_saved_weights_are_finite(
    shards, tmp_path, options, ranks
):
    run = tmp_path / "run"
    rate = ["--lr", "1e30", "--optimizer", "sgd", "--checkpoint-seconds", 0]
    said = refused("train", shards, "--run", run, *options, *rate, ranks=ranks)
    assert said.count("not finite. The run ends") == 1, said
    assert "epoch 1 step" in said or options is WHOLE
    assert "convs." in said
    assert "--lr (now 1e+30)" in said
    assert not (run / "result.json").exists()
    state = read_run(run)
    stands = run_lines(state)[0]
    assert re.match(rf"{run}: ended in epoch \d+ of {state.epochs}\. epoch \d+ step", stands)
    assert "--lr (now 1e+30)" in stands
    assert "--resume" not in stands
    saved = newest_checkpoint(run)
    if saved is not None:
        assert all(np.isfinite(array).all() for array in arrays(saved / "replicated.h5").values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(shards, trained, tmp_path, value):
    run = shutil.copytree(trained, tmp_path / "run")
    with h5py.File(run / "model.h5", "r+") as file:
        file["parameters"][3] = value
    seal(run / "model.h5")
    outputs = {"evaluate": [], "predict": [tmp_path / "p.h5"], "export": [tmp_path / "m"]}
    for command, out in outputs.items():
        said = refused(command, run, *out)
        assert f"{run / 'model.h5'}: 1 of " in said
        assert not any(path.exists() for path in out)


@pytest.mark.parametrize("option", ["--lr", "--weight-decay", "--checkpoint-seconds", "--dropout"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_options_that_are_no_numbers_are_refused(shards, tmp_path, option, value):
    said = refused("train", shards, "--run", tmp_path / "run", option, value)
    assert option in said


def test_weights_without_a_norm_are_refused_by_models_that_divide_by_it(tmp_path):
    graph = learnable_graph(directed=True)
    store = shards_of(replace(graph, weight=-np.abs(graph.weight)), tmp_path / "shards")
    for mode in (SMALL, WHOLE):
        said = refused("train", store, "--run", tmp_path / "run", *mode, "--model", "gcn")
        assert "add up to -1 or less" in said
        assert "take another --model" in said
    succeed("train", store, "--run", tmp_path / "sage", *SMALL)


def test_a_mode_that_is_chosen_says_which_options_it_has_not(shards, tmp_path):
    words = ["--mode", "auto", "--layers", 2, "--batch-size", 60, "--chunks", 3, "--epochs", 1]
    said = succeed("train", shards, "--run", tmp_path / "run", *words, "--hidden", 16)
    assert "not used, for --mode " in said
