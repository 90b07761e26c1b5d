"""The decoupled model: its gradient by central differences, and what it computes by hand."""

import numpy as np
from blocks import random_csr
from checks import assert_gradient

from batchgnn.graph.block import Block
from batchgnn.nn.decoupled import DecoupledModel
from batchgnn.nn.model import ModelSpec
from batchgnn.operators.local import LocalOperator

N = 12
SPEC = ModelSpec(model="gcn", layers=3, hidden=7, dropout=0.3, input_dropout=0.2)


class Repeated(LocalOperator):
    """Propagation as what it says."""

    def propagate(self, z, rounds):
        for _ in range(rounds):
            z = self.gather(z)
        return z

    def propagate_adjoint(self, dy, rounds):
        for _ in range(rounds):
            dy = self.gather_adjoint(dy)
        return dy


def operator():
    """A directed weighted graph of N vertices."""
    rng = np.random.default_rng(0)
    indptr, indices = random_csr(rng, N, N, 4)
    weight = rng.uniform(0.5, 2, len(indices)).astype(np.float32)
    scale = rng.uniform(0.2, 1, N).astype(np.float32)
    ids = np.arange(N, dtype=np.uint32)
    return Repeated(Block(indptr, indices, ids, np.diff(indptr), weight, scale), "gcn")


def test_the_gradient_is_that_of_the_loss():
    rng, A = np.random.default_rng(1), operator()
    model = DecoupledModel(SPEC, 5, 4, seed=3, dtype=np.float64)
    x, dlogits = rng.normal(size=(N, 5)), rng.normal(size=(N, 4))
    keys = {"seed": 1, "epoch": 2, "step": 0, "training": True}
    _, saved = model.forward([A] * 3, x, **keys)
    model.backward(dlogits.copy(), saved)

    def loss():
        return np.vdot(model.forward([A] * 3, x, **keys)[0], dlogits)

    for name, value in model.parameters.items():
        assert_gradient(loss, value, model.parameters.grads[name].copy(), rng)


def test_logits_are_the_propagated_mlp():
    rng, A = np.random.default_rng(1), operator()
    model = DecoupledModel(SPEC, 5, 4, seed=3, dtype=np.float64)
    x, p = rng.normal(size=(N, 5)), model.parameters
    z = np.maximum(x @ p["lins.0.weight"] + p["lins.0.bias"], 0)
    z = np.maximum(z @ p["lins.1.weight"] + p["lins.1.bias"], 0)
    np.testing.assert_allclose(model.evaluate([A] * 2, x), z, rtol=1e-12)
    z = z @ p["lins.2.weight"] + p["lins.2.bias"]
    expected = A.gather(A.gather(A.gather(z)))
    np.testing.assert_allclose(model.evaluate([A] * 3, x), expected, rtol=1e-12)
