"""Exported weights in PyTorch Geometric's own layers give the same logits, on Cora.

The full neighbourhoods of all vertices; 1e-4 absolute. Skipped without torch or the data folder.
"""

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.in_folder import trained
from safetensors.numpy import load_file

from batchgnn.graph.block import Block
from batchgnn.modes.assembly import settings_of
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.init import Declared
from batchgnn.nn.loss import sigmoid_loss, softmax_loss
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.nn.optim import Adam, Sgd
from batchgnn.nn.parameters import Parameters
from batchgnn.nn.pyg import pyg_state
from batchgnn.operators.local import LocalOperator
from batchgnn.run.export import export
from batchgnn.run.predict import predict
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.decoders import DECODERS

torch = pytest.importorskip(
    "torch", reason="torch is not installed: pip install torch torch-geometric"
)
pytest.importorskip("torch_geometric.nn", reason="torch_geometric is not installed")

from torch_models import (  # noqa: E402  (needs torch)
    pair_scores,
    pyg_conv,
    pyg_gcnii,
    pyg_gcnii_logits,
    pyg_logits,
    pyg_module,
)

ROOT = Path(__file__).parents[2]
CORA = Path(os.environ.get("BATCHGNN_DATA", ROOT / "../shared/data")) / "static" / "cora.npz"
needs_cora = pytest.mark.skipif(
    not CORA.is_file(), reason=f"{CORA} is absent: set BATCHGNN_DATA to the folder of data"
)


def read_cora():
    """x float32 (2708, 1433), row-normalised, and one block of all edges."""
    with np.load(CORA) as data:
        indptr, indices = data["indptr"], data["indices"]
        x = np.zeros(data["x_shape"], np.float32)
        row = np.repeat(np.arange(len(x)), np.diff(data["x_indptr"]))
        x[row, data["x_indices"]] = 1
    x /= np.maximum(x.sum(axis=1, keepdims=True), 1)
    degree = np.diff(indptr)
    scale = (1 / np.sqrt(1 + degree)).astype(np.float32)
    ids = np.arange(len(x), dtype=np.uint32)
    return x, Block(indptr, indices, ids, degree, None, scale)


def edge_index_of(block):
    target = np.repeat(np.arange(block.num_targets), np.diff(block.indptr))
    return torch.from_numpy(np.stack([block.indices.astype(np.int64), target]))


@needs_cora
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("kind", ["sage", "gcn", "gin", "gat"])
def test_exported_weights_give_the_same_logits_on_cora(kind, norm):
    rng = np.random.default_rng(0)
    x, block = read_cora()
    model = make_model(
        ModelSpec(model=kind, layers=2, hidden=64, heads=8, norm=norm), 1433, 7, seed=1
    )
    for view in model.parameters.values():  # biases, gains and shifts away from 0 and 1
        view += rng.normal(scale=0.05, size=view.shape).astype(np.float32)
    A = LocalOperator(block, model.aggregation)
    logits, _ = model.forward([A, A], x, None)

    module = pyg_module(pyg_state(model), kind)
    with torch.no_grad():
        expected = pyg_logits(module, kind, torch.from_numpy(x), edge_index_of(block)).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ["sage", "gcn", "gat"])
def test_exported_encoders_and_decoders_give_the_same_pair_scores(comm, tmp_path, decoder, kind):
    """Of a trained run: scores of `predict --pairs` by the user's ids, and of PyG's layers."""
    graph = replace(learnable_graph(num_vertices=120), names=1000 + np.arange(120))
    shards, run, out = (tmp_path / name for name in ("shards", "run", "out.h5"))
    shards_of(graph, shards, links=(0.8, 0.1, 0.1))
    options = {"model": kind, "decoder": decoder, "mode": "fullgraph", "lr": 0.02, "epochs": 5}
    more = {"layers": 2, "hidden": 16, "embedding": 8, "eval_negatives": 5, "threads": 1}
    with trained(comm, shards, run, settings_of(options | more)) as share:
        assert share.manifest.num_vertices == 120
    source, target = np.random.default_rng(1).integers(0, 120, (2, 300))
    np.savez(tmp_path / "pairs.npz", source=1000 + source, target=1000 + target)
    predict(run, out, pairs=tmp_path / "pairs.npz")
    with h5py.File(out) as written:
        found = written["score"][:]
        np.testing.assert_array_equal(written["source"], 1000 + source)
    export(run, tmp_path / "m.safetensors")
    state = load_file(tmp_path / "m.safetensors")
    edges, x = topology(shards)
    module = pyg_module(state, kind)
    with torch.no_grad():
        z = pyg_logits(module, kind, torch.from_numpy(x), torch.from_numpy(edges))
        expected = pair_scores(state, z, source, target).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def topology(shards):
    """int64 (2, m), sources and targets of training's arcs, and features, by rows of the graph."""
    store = ShardStore(shards)
    parts = [store.shard(s) for s in range(store.manifest.num_shards)]
    original = np.concatenate([each.original_id for each in parts])
    source = original[np.concatenate([each.in_indices for each in parts]).astype(np.int64)]
    degree = np.concatenate([each.degree_in for each in parts])
    x = np.empty((len(original), store.manifest.num_features), np.float32)
    x[original] = np.concatenate([each.features for each in parts])
    return np.stack([source, np.repeat(original, degree)]), x


@needs_cora
def test_gcnii_gives_the_logits_and_gradients_of_gcn2conv_on_cora():
    """As in PyG's example: Linear, GCN2Conv with shared weights, each with ReLU, then Linear."""
    x, block = read_cora()
    labels = torch.from_numpy(np.load(CORA)["y"]).long()
    spec = ModelSpec(model="gcnii", layers=4, hidden=32, alpha=0.2, theta=0.7)
    model = make_model(spec, 1433, 7, seed=3)
    logits, saved = model.forward([LocalOperator(block, "gcn")] * 4, x, DropoutStream(0, 0, 0))
    _, dlogits = softmax_loss(logits, labels.numpy().astype(np.int32), 1 / len(labels))
    model.backward(dlogits, saved)
    module = pyg_gcnii(pyg_state(model), spec)
    theirs = pyg_gcnii_logits(module, torch.from_numpy(x), edge_index_of(block))
    np.testing.assert_allclose(logits, theirs.detach().numpy(), rtol=0, atol=1e-4)
    torch.nn.functional.cross_entropy(theirs, labels).backward()
    expected = dict(module.named_parameters())
    model.parameters.buffer[:] = model.parameters.grad
    for name, grad in pyg_state(model).items():
        scale = float(expected[name].grad.abs().max())
        np.testing.assert_allclose(grad, expected[name].grad.numpy(), rtol=0, atol=1e-4 * scale)


@needs_cora
@pytest.mark.parametrize("kind", ["sage", "gcn", "gin", "gat"])
def test_gradients_are_those_of_torch_on_cora(kind):
    x, block = read_cora()
    labels = np.load(CORA)["y"]
    model = make_model(ModelSpec(model=kind, layers=2, hidden=32, heads=4), 1433, 7, seed=2)
    A = LocalOperator(block, model.aggregation)
    logits, saved = model.forward([A, A], x, DropoutStream(0, 0, 0))
    _, dlogits = softmax_loss(logits, labels, 1 / len(labels))
    model.backward(dlogits, saved)

    module = pyg_module(pyg_state(model), kind)
    theirs = pyg_logits(module, kind, torch.from_numpy(x), edge_index_of(block))
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels).long()).backward()
    expected = dict(module.named_parameters())
    model.parameters.buffer[:] = model.parameters.grad
    for name, grad in pyg_state(model).items():
        if name in expected:
            scale = float(expected[name].grad.abs().max())
            np.testing.assert_allclose(grad, expected[name].grad.numpy(), rtol=0, atol=1e-4 * scale)


def test_self_loops_and_edge_weights_are_treated_as_by_gcnconv():
    """A weighted graph with parallel edges; its only self-loop has a weight of its own."""
    rng = np.random.default_rng(3)
    target, source = np.array([0, 0, 1, 2, 2, 2, 3]), np.array([1, 2, 1, 0, 3, 3, 0])
    weight = rng.uniform(0.5, 2, 7).astype(np.float32)
    loop = np.array([1, weight[2], 1, 1], np.float32)  # 1 -> 1
    proper = source != target
    strength = np.bincount(target[proper], weight[proper], 4)
    scale = (1 / np.sqrt(loop + strength)).astype(np.float32)
    indptr = np.array([0, 2, 3, 6, 7])
    block = Block(
        indptr,
        source.astype(np.int32),
        np.arange(4, dtype=np.uint32),
        np.diff(indptr),
        weight,
        scale,
        loop,
    )
    model = make_model(ModelSpec(model="gcn", layers=2, hidden=4), 3, 2, seed=4)
    x, A = rng.normal(size=(4, 3)).astype(np.float32), LocalOperator(block, "gcn")
    logits, _ = model.forward([A, A], x, None)
    module = pyg_module(pyg_state(model), "gcn")
    with torch.no_grad():
        expected = pyg_logits(
            module, "gcn", torch.from_numpy(x), edge_index_of(block), torch.from_numpy(weight)
        )
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_optimisers_take_the_steps_of_torch(name, weight_decay):
    rng = np.random.default_rng(5)
    mine = Parameters({"w": Declared((40,), 1.0)}, seed=0)
    theirs = torch.nn.Parameter(torch.from_numpy(mine["w"].copy()))
    if name == "adam":
        optimizer = Adam(mine, lr=0.01, weight_decay=weight_decay)
        other = torch.optim.Adam([theirs], lr=0.01, weight_decay=weight_decay)
    else:
        optimizer = Sgd(mine, lr=0.01, weight_decay=weight_decay)
        other = torch.optim.SGD([theirs], lr=0.01, momentum=0.9, weight_decay=weight_decay)
    for _ in range(20):
        grad = rng.normal(size=40).astype(np.float32)
        mine.grads["w"][:], theirs.grad = grad, torch.from_numpy(grad.copy())
        optimizer.step()
        other.step()
    np.testing.assert_allclose(mine["w"], theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sage", "gcn", "gin", "gat"])
def test_initial_weights_have_the_range_of_pyg(kind):
    """Largest absolute value of each parameter, theirs against ours: both are dense in it."""
    model = make_model(ModelSpec(model=kind, layers=1, hidden=64, heads=1), 200, 64, seed=6)
    state = pyg_state(model)
    torch.manual_seed(0)
    fresh = pyg_conv(kind, {n.removeprefix("convs.0."): v.shape for n, v in state.items()})
    for name, theirs in fresh.state_dict().items():
        ours, theirs = np.abs(state[f"convs.0.{name}"]).max(), float(theirs.abs().max())
        assert ours == pytest.approx(theirs, rel=0.1), name


def test_losses_are_those_of_torch():
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(9, 4)).astype(np.float32)
    several = rng.integers(0, 2, (9, 4)).astype(np.uint8)
    one = rng.integers(0, 4, 9).astype(np.int32)
    cross = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(one).long()
    )
    binary = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(several).float()
    )
    assert softmax_loss(logits, one, 1.0)[0] / 9 == pytest.approx(float(cross), rel=1e-6)
    assert sigmoid_loss(logits, several, 1.0)[0] / 9 == pytest.approx(float(binary), rel=1e-6)
