"""The decoupled model: its gradient by central differences, and what it computes by hand."""

import numpy as np
import pytest
from blocks import random_csr
from checks import assert_gradient
from propagation import RepeatedOperator

from batchgnn.graph.block import Block
from batchgnn.nn.dropout import NO_DROPOUT, DropoutStream
from batchgnn.nn.model import ModelSpec, layered
from batchgnn.nn.models import make_model
from batchgnn.operators.local import LocalOperator

N = 12
DROP = {"dropout": 0.3, "input_dropout": 0.2, "attention_dropout": 0.3}
NAMES = ("decoupled-gcn", "decoupled-gat")
SPECS = {name: ModelSpec(model=name, layers=3, hidden=7, **DROP) for name in NAMES}


def operator(aggregation):
    """A directed weighted graph of N vertices."""
    rng = np.random.default_rng(0)
    indptr, indices = random_csr(rng, N, N, 4)
    weight = rng.uniform(0.5, 2, len(indices)).astype(np.float32)
    scale = rng.uniform(0.2, 1, N).astype(np.float32)
    ids = np.arange(N, dtype=np.uint32)
    block = Block(indptr, indices, ids, np.diff(indptr), weight, scale)
    return RepeatedOperator(block, aggregation)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_gradient_is_that_of_the_loss(spec):
    model = make_model(spec, 5, 4, seed=3, dtype=np.float64)
    rng, A = np.random.default_rng(1), operator(model.aggregation)
    x, dlogits = rng.normal(size=(N, 5)), rng.normal(size=(N, 4))
    stream = DropoutStream(1, 2, 0)
    _, saved = model.forward([A] * 3, x, stream)
    model.backward(dlogits.copy(), saved)

    def loss():
        return np.vdot(model.forward([A] * 3, x, stream)[0], dlogits)

    for name, value in model.parameters.items():
        assert_gradient(loss, value, model.parameters.grads[name].copy(), rng)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_logits_are_the_propagated_mlp(spec):
    model = make_model(spec, 5, 4, seed=3, dtype=np.float64)
    rng, A = np.random.default_rng(1), operator(model.aggregation)
    x, p = rng.normal(size=(N, 5)), model.parameters
    z = np.maximum(x @ p["lins.0.weight"] + p["lins.0.bias"], 0)
    z = np.maximum(z @ p["lins.1.weight"] + p["lins.1.bias"], 0)
    np.testing.assert_allclose(model.evaluate([A] * 2, x), z, rtol=1e-12)
    z = z @ p["lins.2.weight"] + p["lins.2.bias"]
    expected = z
    for _ in range(3):
        if model.aggregation == "gcn":
            expected = A.gather(expected)
        else:
            scores = z @ p["attention.weight"]
            s_src, s_dst = scores[:, :1], scores[:, 1:]
            expected = A.attend(expected[:, None], s_src, s_dst, NO_DROPOUT)[0][:, 0]
    np.testing.assert_allclose(model.evaluate([A] * 3, x), expected, rtol=1e-12)


def test_a_norm_or_a_residual_is_refused():
    for name in ("gcnii", *NAMES):
        for changes in ({"norm": "layer"}, {"residual": True}):
            with pytest.raises(ValueError, match="no norm"):
                make_model(ModelSpec(model=name, **changes), 5, 4)


def test_an_operator_without_rounds_is_refused():
    A = LocalOperator(operator("gcn").block, "gcn")
    with pytest.raises(TypeError, match="LocalOperator has no rounds"):
        make_model(SPECS["decoupled-gcn"], 5, 4).evaluate([A] * 3, np.zeros((N, 5), np.float32))


@pytest.mark.parametrize("name", ["gcnii", *NAMES])
def test_a_model_over_the_whole_graph_has_no_layers_one_by_one(name):
    with pytest.raises(TypeError, match=f"{name} has no layers"):
        layered(make_model(ModelSpec(model=name), 5, 4))
