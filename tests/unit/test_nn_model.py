"""The model: its layout of parameters, initial weights, dropout by vertex, inference by layers."""

import numpy as np
import pytest
from blocks import block_chain, random_block
from scipy.stats import kstest

from batchgnn.nn.conv import CONVOLUTIONS
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.init import glorot, zeros
from batchgnn.nn.loss import softmax_loss
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import MODELS, make_model
from batchgnn.nn.optim import make_optimizer
from batchgnn.nn.pyg import pyg_state
from batchgnn.operators.local import LocalOperator

KINDS = list(CONVOLUTIONS)
NAMES = {
    "sage": {
        "convs.0.lin_l.weight": (8, 5), "convs.0.lin_r.weight": (8, 5), "convs.0.lin_l.bias": (8,),
        "convs.1.lin_l.weight": (3, 8), "convs.1.lin_r.weight": (3, 8), "convs.1.lin_l.bias": (3,),
    },
    "gcn": {
        "convs.0.lin.weight": (8, 5), "convs.0.bias": (8,),
        "convs.1.lin.weight": (3, 8), "convs.1.bias": (3,),
    },
    "gin": {
        "convs.0.nn.0.weight": (8, 5), "convs.0.nn.0.bias": (8,), "convs.0.nn.2.weight": (8, 8),
        "convs.0.nn.2.bias": (8,), "convs.0.eps": (1,),
        "convs.1.nn.0.weight": (3, 8), "convs.1.nn.0.bias": (3,), "convs.1.nn.2.weight": (3, 3),
        "convs.1.nn.2.bias": (3,), "convs.1.eps": (1,),
    },
    "gat": {
        "convs.0.lin.weight": (8, 5), "convs.0.att_src": (1, 2, 4), "convs.0.att_dst": (1, 2, 4),
        "convs.0.bias": (8,),
        "convs.1.lin.weight": (3, 8), "convs.1.att_src": (1, 1, 3), "convs.1.att_dst": (1, 1, 3),
        "convs.1.bias": (3,),
    },
}  # fmt: skip


def small(kind, seed=0, **options):
    return make_model(
        ModelSpec(model=kind, layers=2, hidden=8, heads=2, **options), 5, 3, seed=seed
    )


def forward(model, blocks, x, *, step=0, training=True):
    operators = [LocalOperator(b, model.aggregation) for b in blocks]
    return model.forward(operators, x, DropoutStream(1, 0, step) if training else None)


@pytest.mark.parametrize("kind", KINDS)
def test_export_has_the_names_and_shapes_of_pyg(kind):
    rows = {"norms.0.weight": (8,), "norms.0.bias": (8,)}
    names = ("weight", "bias", "running_mean", "running_var")
    columns = {f"norms.0.module.{name}": (8,) for name in names}
    columns["norms.0.module.num_batches_tracked"] = ()
    for norm, more in (("none", {}), ("layer", rows), ("batch", columns)):
        expected = NAMES[kind] | more
        state = pyg_state(small(kind, norm=norm))
        assert {name: value.shape for name, value in state.items()} == expected
        assert all(value.flags.c_contiguous for value in state.values())


def test_parameters_are_aligned_views_of_one_buffer():
    parameters = small("gat").parameters
    parameters.buffer[:] = np.arange(len(parameters.buffer))
    assert parameters.size == sum(view.size for view in parameters.values())
    for name, view in parameters.items():
        offset, shape = parameters.layout[name]
        assert view.shape == parameters.grads[name].shape == shape
        assert view.flat[0] == offset
        assert np.shares_memory(parameters.grads[name], parameters.grad)
        assert view.ctypes.data % 64 == 0


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_belong_to_the_seed_and_differ_between_parameters(kind):
    a, b, other = (small(kind, seed).parameters for seed in (4, 4, 5))
    np.testing.assert_array_equal(a.buffer, b.buffer)
    assert (a.buffer != other.buffer).any()
    drawn = [view.flat[0] for view in a.values() if view.any()]
    assert len(drawn) == len(set(drawn))


LINEAR, GLOROT, ATTENTION = 100**-0.5, (6 / 300) ** 0.5, (6 / 54) ** 0.5
BOUNDS = {
    "sage": {"lin_l.weight": LINEAR, "lin_r.weight": LINEAR, "lin_l.bias": LINEAR},
    "gcn": {"lin.weight": GLOROT, "bias": 0},
    "gin": {"nn.0.weight": LINEAR, "nn.0.bias": LINEAR, "nn.2.weight": 200**-0.5},
    "gat": {"lin.weight": GLOROT, "att_src": ATTENTION, "att_dst": ATTENTION, "bias": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_have_the_distributions_of_pyg(kind):
    parameters = make_model(ModelSpec(model=kind, hidden=200, heads=4), 100, 7, seed=6).parameters
    for name, bound in BOUNDS[kind].items():
        values = parameters[f"convs.0.{name}"].ravel()
        if bound:
            assert np.abs(values).max() <= bound
            assert kstest(values / bound, "uniform", (-1, 2)).pvalue > 1e-3
        else:
            assert not values.any()


@pytest.mark.parametrize("kind", KINDS)
def test_layer_by_layer_inference_is_forward_without_training(kind):
    rng = np.random.default_rng(2)
    model = small(kind, dropout=0.5, input_dropout=0.5, attention_dropout=0.5, norm="layer")
    blocks, x = block_chain(rng, [40, 20, 10]), rng.normal(size=(40, 5)).astype(np.float32)
    logits, _ = forward(model, blocks, x, training=False)
    for n, block in enumerate(blocks):
        x = model.layer_forward(n, LocalOperator(block, model.aggregation), x)
    np.testing.assert_array_equal(logits, x)
    assert logits.shape == (10, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vertex_is_dropped_alike_wherever_its_row_lies(kind):
    """The sources of a block in another order, as another rank would number them."""
    rng = np.random.default_rng(3)
    model = small(kind, dropout=0.5, input_dropout=0.5, attention_dropout=0.5)
    blocks, x = block_chain(rng, [40, 20, 10]), rng.normal(size=(40, 5)).astype(np.float32)
    logits, _ = forward(model, blocks, x)

    outer = blocks[0]
    order = np.concatenate([np.arange(20), 20 + rng.permutation(20)])
    moved = type(outer)(
        outer.indptr,
        np.argsort(order)[outer.indices].astype(np.int32),
        outer.ids[order],
        outer.degree,
        None,
        outer.scale[order],
    )
    again, _ = forward(model, [moved, blocks[1]], x[order])
    np.testing.assert_allclose(again, logits, rtol=1e-5, atol=1e-6)
    assert np.abs(forward(model, blocks, x, step=1)[0] - logits).max() > 1e-3


def test_every_dropout_of_a_step_has_a_key_of_its_own(monkeypatch):
    """Rows that enter layers 0 to 2 and coefficients inside them; two steps: 12 uses, 12 keys."""
    keys = []

    def note(self, purpose, layer, probability):
        dropout = keyed(self, purpose, layer, probability)
        keys.append(int(dropout.key))
        return dropout

    keyed = DropoutStream._keyed
    monkeypatch.setattr(DropoutStream, "_keyed", note)
    rng = np.random.default_rng(8)
    spec = ModelSpec(
        model="gat", layers=3, hidden=8, dropout=0.5, input_dropout=0.5, attention_dropout=0.5
    )
    model = make_model(spec, 5, 3)
    blocks, x = block_chain(rng, [40, 30, 20, 10]), rng.normal(size=(40, 5)).astype(np.float32)
    for step in (0, 1):
        forward(model, blocks, x, step=step)
    assert len(keys) == len(set(keys)) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_forward_leaves_its_input_alone(kind):
    rng = np.random.default_rng(4)
    model = small(kind, dropout=0.5, input_dropout=0.5)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    before = x.copy()
    logits, saved = forward(model, block_chain(rng, [40, 20, 10]), x)
    model.backward(np.ones_like(logits), saved)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_without_seeds_has_a_zero_gradient(kind):
    rng = np.random.default_rng(5)
    model = small(kind, dropout=0.5, input_dropout=0.5, attention_dropout=0.5, norm="layer")
    empty = random_block(rng, 0, 0)
    logits, saved = forward(model, [empty, empty], np.empty((0, 5), np.float32))
    loss, dlogits = softmax_loss(logits, np.empty(0, np.int32), 1.0)
    model.parameters.grad[:] = np.nan
    model.backward(dlogits, saved)
    assert (loss, logits.shape) == (0.0, (0, 3))
    for grad in model.parameters.grads.values():
        np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_fits_random_labels(kind, optimizer):
    rng = np.random.default_rng(6)
    model = make_model(
        ModelSpec(model=kind, layers=2, hidden=32, heads=2, norm="layer"), 12, 3, seed=7
    )
    optimizer = make_optimizer(
        optimizer, model.parameters, lr=0.02 if optimizer == "adam" else 0.1, weight_decay=0.0
    )
    blocks = block_chain(rng, [60, 40, 20])
    x, labels = (
        rng.normal(size=(60, 12)).astype(np.float32),
        rng.integers(0, 3, 20).astype(np.int32),
    )
    losses = []
    for step in range(150):
        logits, saved = forward(model, blocks, x, step=step)
        loss, dlogits = softmax_loss(logits, labels, 1 / 20)
        model.backward(dlogits, saved)
        optimizer.step()
        losses.append(loss / 20)
    assert losses[-1] < 0.2 * losses[0]
    assert optimizer.steps == 150
    assert all(array.shape == model.parameters.buffer.shape for array in optimizer.arrays.values())


def test_statistics_are_kept_up_and_not_trained():
    """Running averages as torch has them: momentum 0.1, unbiased variance; no weight decay."""
    rng = np.random.default_rng(9)
    spec = ModelSpec(model="sage", layers=2, hidden=8, norm="batch")
    model = make_model(spec, 5, 3, seed=1, dtype=np.float64)
    optimizer = make_optimizer("adam", model.parameters, lr=0.1, weight_decay=1.0)
    blocks, x = block_chain(rng, [40, 20, 10]), rng.normal(size=(40, 5))
    y, _ = model.convs[0].forward(LocalOperator(blocks[0], "mean"), x)
    y += model.parameters["convs.0.lin_l.bias"]
    logits, saved = forward(model, blocks, x)
    model.backward(np.ones_like(logits), saved)
    optimizer.step()
    mean = model.parameters["norms.0.module.running_mean"]
    variance = model.parameters["norms.0.module.running_var"]
    np.testing.assert_allclose(mean, 0.1 * y.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * y.var(axis=0, ddof=1), rtol=1e-12)
    assert model.parameters.size == sum(
        view.size for name, view in model.parameters.items() if "running" not in name
    )


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_layers_add_their_input(kind):
    """With residual the sum of what the layer makes without it and of its input."""
    rng = np.random.default_rng(10)
    sizes = {"model": kind, "layers": 3, "hidden": 8, "heads": 2}
    plain, residual = (
        make_model(ModelSpec(**sizes, residual=r), 5, 3, seed=2) for r in (False, True)
    )
    block = random_block(rng, 6, 20)
    for n, width in enumerate((5, 8, 8)):
        A, x = LocalOperator(block, plain.aggregation), rng.normal(size=(20, width))
        x = x.astype(np.float32)
        expected = plain.layer_forward(n, A, x) + (x[:6] if n == 1 else 0)
        np.testing.assert_allclose(residual.layer_forward(n, A, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_convolutions_may_decay_by_themselves(optimizer):
    """Without a gradient weight decay alone moves parameters: only those it is given for."""
    spec = ModelSpec(model="sage", layers=2, hidden=8, norm="batch")
    parameters = make_model(spec, 5, 3, seed=1).parameters
    before = parameters.buffer.copy()
    decays = [("convs.", 0.0)]
    make_optimizer(optimizer, parameters, lr=0.1, weight_decay=0.5, decays=decays).step()
    moved = {
        name
        for name, view in parameters.views_of(parameters.buffer != before).items()
        if view.any()
    }
    assert moved == {"norms.0.module.weight"}


@pytest.mark.parametrize("kind", MODELS)
def test_the_parameters_of_a_head_lie_behind_those_of_the_model(kind):
    """They change neither a model's first weights nor the place of any, and have a gradient too."""
    spec = ModelSpec(model=kind, layers=2, hidden=8, heads=2)
    alone = make_model(spec, 5, 3, seed=1).parameters
    extra = {"head.weight": glorot(3, 2), "head.bias": zeros(2)}
    both = make_model(spec, 5, 3, extra=extra, seed=1).parameters
    assert list(both) == [*alone, "head.weight", "head.bias"]
    assert both.grads["head.weight"].shape == both["head.weight"].shape == (3, 2)
    assert both["head.weight"].all()
    np.testing.assert_array_equal(both.buffer[: len(alone.buffer)], alone.buffer)
    assert both.size == alone.size + 8
