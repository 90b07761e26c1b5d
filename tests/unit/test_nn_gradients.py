"""Gradients by central differences, float64: every parameter and input of layers and of models."""

import numpy as np
import pytest
from blocks import block_chain, random_block
from checks import assert_gradient

from batchgnn.nn.conv import CONVOLUTIONS
from batchgnn.nn.dropout import NO_DROPOUT, Dropout, DropoutStream
from batchgnn.nn.loss import sigmoid_loss, softmax_loss
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.nn.parameters import Parameters
from batchgnn.operators.local import LocalOperator

KINDS = list(CONVOLUTIONS)
WIDTHS = {"widening": (3, 8), "narrowing": (8, 2)}  # (A x) W and A (x W)
CLOSE = {"rtol": 1e-5, "atol": 1e-11}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dropout", [NO_DROPOUT, Dropout(np.uint64(3), 0.4)], ids=["", "dropout"])
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_layer_gradients(kind, widths, dropout, weighted):
    rng = np.random.default_rng(0)
    layer_kind = CONVOLUTIONS[kind]
    declared = layer_kind.declare(*widths, 2)
    parameters = Parameters(declared, seed=1, dtype=np.float64)
    layer = layer_kind(parameters)
    A = LocalOperator(random_block(rng, 12, 20, weighted=weighted), layer.aggregation)
    x = rng.normal(size=(20, widths[0]))
    dy = rng.normal(size=(12, widths[1]))

    def loss():
        return np.vdot(layer.forward(A, x, dropout)[0], dy)

    y, saved = layer.forward(A, x, dropout)
    assert y.shape == dy.shape
    parameters.grad[:] = np.nan
    parameters.grads[layer.bias_name][:] = 0  # the epilogue's
    dx = layer.backward(dy.copy(), saved, parameters.grads, need_dx=True)
    assert_gradient(loss, x, dx, rng, **CLOSE)
    for name in declared:
        if name != layer.bias_name:
            assert_gradient(loss, parameters[name], parameters.grads[name], rng, **CLOSE)
    without = parameters.grad.copy()
    _, saved = layer.forward(A, x, dropout)
    assert layer.backward(dy.copy(), saved, parameters.grads, need_dx=False) is None
    np.testing.assert_array_equal(parameters.grad, without)


SPECS = {
    "plain": {},
    "dropout": {"dropout": 0.4, "input_dropout": 0.3, "attention_dropout": 0.3},
    "norm": {"norm": "layer"},
    "norm and dropout": {"norm": "layer", "dropout": 0.4},
    "norm of columns, residual": {"norm": "batch", "residual": True, "dropout": 0.4},
}


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("options", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("kind", KINDS)
def test_model_gradients(kind, options, multilabel):
    rng = np.random.default_rng(1)
    model = make_model(
        ModelSpec(model=kind, layers=3, hidden=6, heads=2, **options),
        5,
        4,
        seed=2,
        dtype=np.float64,
    )
    model.parameters.buffer += 0.1 * rng.normal(size=model.parameters.buffer.shape)  # off the kinks
    operators = [LocalOperator(b, model.aggregation) for b in block_chain(rng, [60, 40, 20, 10])]
    x = rng.normal(size=(60, 5))
    loss_of, labels = sigmoid_loss, rng.integers(0, 2, (10, 4)).astype(np.uint8)
    if not multilabel:
        loss_of, labels = softmax_loss, rng.integers(-1, 4, 10).astype(np.int32)

    def forward():
        return model.forward(operators, x, DropoutStream(3, 1, 2))

    logits, saved = forward()
    _, dlogits = loss_of(logits, labels, 0.1)
    model.parameters.grad[:] = 0
    for view in model.parameters.grads.values():
        view[...] = np.nan  # poison: backward must overwrite all of it
    model.backward(dlogits, saved)
    for name, grad in model.parameters.grads.items():
        assert_gradient(
            lambda: 0.1 * loss_of(forward()[0], labels, 0.1)[0],
            model.parameters[name],
            grad,
            rng,
            **CLOSE,
        )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gcnii_gradients(dropout):
    """Over one square block, its targets are its sources; every parameter of 3 layers."""
    rng = np.random.default_rng(4)
    spec = ModelSpec(model="gcnii", layers=3, hidden=6, dropout=dropout, input_dropout=dropout)
    model = make_model(spec, 5, 4, seed=2, dtype=np.float64)
    model.parameters.buffer += 0.1 * rng.normal(size=model.parameters.buffer.shape)
    operators = [LocalOperator(random_block(rng, 30, 30, weighted=True), "gcn")] * 3
    x, labels = rng.normal(size=(30, 5)), rng.integers(-1, 4, 30).astype(np.int32)

    def forward():
        return model.forward(operators, x, DropoutStream(3, 1, 2))

    logits, saved = forward()
    _, dlogits = softmax_loss(logits, labels, 0.1)
    for view in model.parameters.grads.values():
        view[...] = np.nan  # poison: backward must overwrite all of it
    model.backward(dlogits, saved)
    for name, grad in model.parameters.grads.items():
        assert_gradient(
            lambda: 0.1 * softmax_loss(forward()[0], labels, 0.1)[0],
            model.parameters[name],
            grad,
            rng,
            **CLOSE,
        )
    if not dropout:
        np.testing.assert_array_equal(model.evaluate(operators, x), forward()[0])
