"""Exact inference equals the dense formulas of each model, for any chunk size."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI

from batchgnn.modes.assembly import settings_of
from batchgnn.run.session import open_session
from batchgnn.sampling.inference import Inference


def dense_adjacency(graph):
    """A[v, u] = weight of u -> v, doubled edges added up."""
    n = graph.num_vertices
    A = np.zeros((n, n))
    weight = np.ones(len(graph.source)) if graph.weight is None else graph.weight
    np.add.at(A, (graph.target, graph.source), weight)
    if not graph.directed:
        np.add.at(A, (graph.source, graph.target), weight)
    return A


def counts(graph):
    """Like `dense_adjacency`, every edge counting 1."""
    n = graph.num_vertices
    A = np.zeros((n, n))
    np.add.at(A, (graph.target, graph.source), 1)
    if not graph.directed:
        np.add.at(A, (graph.source, graph.target), 1)
    return A


def dense_model(name, graph, p, num_layers, heads):
    """Logits of all vertices in float64, from the definition."""
    x, A, eye = graph.features.astype(float), counts(graph), np.eye(graph.num_vertices)
    for n in range(num_layers):
        at = {k.removeprefix(f"convs.{n}."): v for k, v in p.items() if k.startswith(f"convs.{n}.")}
        last = n + 1 == num_layers
        if name == "sage":
            mean = A @ x / np.maximum(A.sum(axis=1, keepdims=True), 1)
            x = mean @ at["lin_l.weight"] + x @ at["lin_r.weight"] + at["lin_l.bias"]
        elif name == "gcn":
            hat = dense_adjacency(graph) + eye
            norm = 1 / np.sqrt(hat.sum(axis=1))
            x = norm[:, None] * (hat @ (norm[:, None] * (x @ at["lin.weight"]))) + at["bias"]
        elif name == "gin":
            inner = np.maximum((x + A @ x) @ at["nn.0.weight"] + at["nn.0.bias"], 0)
            x = inner @ at["nn.2.weight"] + at["nn.2.bias"]
        else:
            z = (x @ at["lin.weight"]).reshape(len(x), 1 if last else heads, -1)
            s_src, s_dst = (np.einsum("nhw,hw->nh", z, at[k]) for k in ("att_src", "att_dst"))
            e = s_dst[:, None, :] + s_src[None]
            e = np.exp(np.where(e > 0, e, 0.2 * e)) * (A + eye)[:, :, None]
            alpha = e / e.sum(axis=1, keepdims=True)
            x = np.einsum("vuh,uhw->vhw", alpha, z).reshape(len(x), -1) + at["bias"]
        if not last:
            x = np.where(x > 0, x, np.expm1(x)) if name == "gat" else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("directed", [False, True])
def test_inference_is_the_dense_model(tmp_path, model, directed):
    graph = learnable_graph(directed=directed, num_vertices=150)
    shards = shards_of(graph, tmp_path / "shards")
    heads = {"heads": 2} if model == "gat" else {}
    settings = settings_of(model=model, layers=2, hidden=8, threads=1, **heads)
    with open_session(shards, settings, MPI.COMM_SELF) as session:
        for chunk_bytes in (1, 1 << 14, 1 << 30):
            logits = Inference(session.grid.world, session.own, session.model, chunk_bytes).logits()
            expected = dense_model(model, graph, session.model.parameters, 2, 2)
            np.testing.assert_allclose(
                logits, expected[session.own.original_id], rtol=1e-3, atol=1e-4
            )


def test_half_width_features_are_read(tmp_path):
    graph = learnable_graph(num_vertices=100)
    half = graph.features.astype(np.float16)
    logits = []
    for name, features in (("half", half), ("same", half.astype(np.float32))):
        object.__setattr__(graph, "features", features)
        shards = shards_of(graph, tmp_path / name)
        with open_session(shards, settings_of(hidden=8, threads=1), MPI.COMM_SELF) as session:
            logits.append(Inference(session.grid.world, session.own, session.model).logits())
    np.testing.assert_array_equal(*logits)
