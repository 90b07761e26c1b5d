"""One process on the whole graph: gradients by central differences, any threads, dense evaluation.

What P ranks compute is held to this in tests/mpi/cases/test_fullgraph.py.
"""

import numba
import numpy as np
import pytest
from checks import assert_gradient
from graphs import learnable_graph, shards_of

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import changed, resolved, settings_of
from batchgnn.modes.open import make_mode
from batchgnn.modes.options import Halo
from batchgnn.nn.models import make_model
from batchgnn.run.session import open_session

OF_STEPS = {"mode": "fullgraph", "dropout": 0.4, "overlap": False, "threads": 1}
SETTINGS = settings_of(OF_STEPS, model="gat", layers=3, hidden=6, heads=2)
"Other models have no heads."
MODELS = {
    "sage": {},
    "gcn": {"norm": "batch", "residual": True},
    "gin": {"norm": "layer"},
    "gat": {"attention_dropout": 0.3, "input_dropout": 0.2},
    "gcnii": {"input_dropout": 0.2},
}


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, tmp_path_factory):
    graph = learnable_graph(num_vertices=61, directed=request.param)
    return shards_of(graph, tmp_path_factory.mktemp("whole") / "shards")


@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_the_loss_over_the_whole_graph(shards, model):
    """The mean over all training vertices, of every parameter, in float64."""
    rng = np.random.default_rng(0)
    with open_session(shards, changed(SETTINGS, model=model, **MODELS[model])) as session:
        spec, manifest = session.model.spec, session.manifest
        sizes = manifest.num_features, manifest.num_classes
        session.model = make_model(spec, *sizes, seed=1, dtype=np.float64)
        mode, parameters = make_mode(session), session.model.parameters
        parameters.buffer[: parameters.num_trained] += 0.1 * rng.normal(size=parameters.num_trained)
        for view in parameters.grads.values():
            view[...] = np.nan
        mode.gradient(2)
        grads = {name: grad.copy() for name, grad in parameters.grads.items()}
        for name, grad in grads.items():
            assert_gradient(
                lambda: mode.gradient(2) / mode.num_seeds,
                parameters[name],
                grad,
                rng,
                rtol=1e-5,
                atol=1e-11,
            )


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two Numba threads")
@pytest.mark.parametrize("model", ["sage", "gcn", "gat"])
def test_threads_change_no_bit(shards, model):
    trained = []
    for threads in (1, 2):
        settings = changed(SETTINGS, model=model, threads=threads, norm="batch", layers=4)
        with open_session(shards, settings) as session:
            mode = make_mode(session)
            losses = [result.loss_sum for epoch in range(4) for result in mode.epoch(epoch)]
            trained.append((losses, session.model.parameters.buffer.copy()))
    assert trained[0][0] == trained[1][0]
    np.testing.assert_array_equal(trained[0][1], trained[1][1])


def test_a_halo_is_refused_where_there_is_none():
    none = settings_of(mode="tensor")
    for _ in range(2):  # as a run is resumed
        none = resolved(none, "multiclass")
    assert none[Halo].halo is None
    with pytest.raises(ConfigError, match="--halo rows is of ranks that have the edges"):
        resolved(settings_of(mode="tensor", halo="rows"), "multiclass")
    groups = resolved(settings_of(mode="tensor", tensor_ways=2), "multiclass")
    assert groups[Halo].halo == "cover"
