"""The exported file, loaded into PyTorch Geometric, predicts what `batchgnn predict` wrote."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
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


@pytest.mark.parametrize("kind", ["sage", "gcn", "gin", "gat"])
def test_the_exported_file_predicts_the_same(shards, tmp_path, kind):
    from safetensors.torch import load_file
    from torch_models import pyg_logits, pyg_module

    options = (
        "--layers",
        2,
        "--hidden",
        32,
        "--fanouts",
        -1,
        -1,
        "--batch-size",
        140,
        "--lr",
        0.01,
    )
    batchgnn("train", shards, "--run", tmp_path / "run", "--model", kind, *options, "--epochs", 5)
    batchgnn("predict", tmp_path / "run", tmp_path / "predicted.h5")
    batchgnn("export", tmp_path / "run", tmp_path / "model.safetensors")

    state = {name: each.numpy() for name, each in load_file(tmp_path / "model.safetensors").items()}
    with np.load(CORA) as data:
        target = np.repeat(np.arange(len(data["y"])), np.diff(data["indptr"]))
        edge_index = torch.from_numpy(np.stack([data["indices"].astype(np.int64), target]))
        x = np.zeros(data["x_shape"], np.float32)
        x[np.repeat(np.arange(len(x)), np.diff(data["x_indptr"])), data["x_indices"]] = 1
    x /= np.maximum(x.sum(axis=1, keepdims=True), 1)
    with torch.no_grad():
        logits = pyg_logits(pyg_module(state, kind), kind, torch.from_numpy(x), edge_index)
    with h5py.File(tmp_path / "predicted.h5") as file:
        predicted = file["probability"][:]
    np.testing.assert_allclose(predicted, torch.softmax(logits, dim=1).numpy(), rtol=0, atol=1e-4)
