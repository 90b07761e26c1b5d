"""A first layer of aggregated rows is the first layer over all neighbours, gradients and all."""

import numpy as np
import pytest
from blocks import random_block

from batchgnn.kernels.address import addresses
from batchgnn.kernels.rows import Rows
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator


@pytest.mark.parametrize("kind", ["sage", "gcn", "gin"])
@pytest.mark.parametrize("hidden", [3, 40], ids=["narrow", "wide"])
@pytest.mark.parametrize("held", ["matrix", "rows"])
def test_it_trains_as_the_local_operator(kind, hidden, held):
    """Also where the local operator would multiply by the weights first."""
    rng = np.random.default_rng(0)
    block = random_block(rng, 20, 60, weighted=kind == "gcn")
    x = rng.normal(size=(60, 12)).astype(np.float32)
    model = make_model(ModelSpec(model=kind, layers=1, hidden=hidden), 12, hidden, seed=3)
    local = LocalOperator(block, model.aggregation)
    aggregated, targets = local.gather(x), x[:20].copy()
    rows = Rows(addresses(list(aggregated)), aggregated[:0])
    x_rows = Rows(addresses(list(targets)), targets[:0])
    cached = CachedOperator(block.ids[:20], rows)
    results = []
    for A, inputs in ((local, x), (cached, targets if held == "matrix" else x_rows)):
        A.prepare(adjoint=False)
        logits, saved = model.forward([A], inputs, DropoutStream(1, 0, 0))
        model.parameters.grad[:] = np.nan
        model.backward(np.sin(np.arange(logits.size, dtype=np.float32)).reshape(20, -1), saved)
        results.append((logits, model.parameters.grad.copy()))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_needs_more_than_the_input_features_is_refused():
    ids, x = np.arange(4, dtype=np.uint32), np.zeros((4, 3), np.float32)
    A = CachedOperator(ids, Rows(addresses(list(x)), x[:0]))
    with pytest.raises(TypeError, match="CachedOperator has products with the input features"):
        make_model(ModelSpec(model="gat", layers=1), 3, 4).evaluate([A], x)
