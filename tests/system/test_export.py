"""The exported file, loaded into PyTorch Geometric, predicts what `batchgnn predict` wrote."""

import json
import runpy
import subprocess
import sys

import h5py
import numpy as np
import pytest
from commands import ROOT
from shards import DATA

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[parity]'")
pytest.importorskip("torch_geometric.nn", reason="torch_geometric is not installed")

CORA = DATA / "static" / "cora.npz"


def batchgnn(*arguments):
    subprocess.run(
        [sys.executable, "-m", "batchgnn", *map(str, arguments)], check=True, timeout=120
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    if not CORA.is_file():
        pytest.skip(f"{CORA} is absent: set BATCHGNN_DATA to the folder of data")
    folder = tmp_path_factory.mktemp("cora")
    batchgnn("data", "convert", "npz", CORA, folder / "cora.h5", "--normalize-features", "row")
    batchgnn("partition", folder / "cora.h5", folder / "shards", "--shards", 2)
    return folder / "shards"


TWO = ["--layers", 2, "--fanouts", -1, -1]
FOUR = ["--layers", 4, "--fanouts", -1, -1, -1, -1, "--residual", "--norm", "layer"]
MODELS = {
    "sage": TWO,
    "gcn": TWO,
    "gin": TWO,
    "gat": [*TWO, "--heads", 2],
    "deep sage": FOUR,
}
"Options of models, by the last word of their names."


@pytest.mark.parametrize("name", MODELS)
def test_the_exported_file_predicts_the_same(shards, tmp_path, name):
    module = runpy.run_path(str(ROOT / "examples" / "load_in_pyg.py"))
    line = ["--model", name.split()[-1], *MODELS[name], "--epochs", 5]
    line += ["--hidden", 32, "--batch-size", 140, "--lr", 0.01]
    batchgnn("train", shards, "--run", tmp_path / "run", *line)
    batchgnn("predict", tmp_path / "run", tmp_path / "predicted.h5")
    batchgnn("export", tmp_path / "run", tmp_path / "model.safetensors")

    model, about = module["load"](str(tmp_path / "model.safetensors"))
    assert (about["task"], json.loads(about["class_names"])) == (
        "multiclass",
        [*map(str, range(7))],
    )
    with np.load(CORA) as data:
        target = np.repeat(np.arange(len(data["y"])), np.diff(data["indptr"]))
        edge_index = torch.from_numpy(np.stack([data["indices"].astype(np.int64), target]))
        x = np.zeros(data["x_shape"], np.float32)
        x[np.repeat(np.arange(len(x)), np.diff(data["x_indptr"])), data["x_indices"]] = 1
    x /= np.maximum(x.sum(axis=1, keepdims=True), 1)
    with torch.no_grad():
        chances = torch.softmax(model(torch.from_numpy(x), edge_index), dim=1).numpy()
    with h5py.File(tmp_path / "predicted.h5") as file:
        np.testing.assert_allclose(file["probability"][:], chances, rtol=0, atol=1e-4)
