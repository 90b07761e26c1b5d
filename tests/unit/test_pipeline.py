"""Mode pipeline in one process, in float64: exact in one chunk, else the gradient of its forward.

Histories are noise where they would hide a fault by being right. What P ranks compute is held to
this in tests/mpi/cases/test_pipeline.py.
"""

import numpy as np
import pytest
from checks import assert_gradient
from graphs import learnable_graph, shards_of
from mpi.together import assert_same_training, changed, train_whole
from pipelines import BASE, MODELS, Opened, exact, settings_of

from batchgnn.base.errors import ConfigError
from batchgnn.modes.kept_check import decisive
from batchgnn.modes.pipeline.check import is_deep_and_plain, require_stages
from batchgnn.run.session import open_session


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A directed weighted graph in four chunks, and in one."""
    graph, folder = (
        learnable_graph(directed=True, num_vertices=101),
        tmp_path_factory.mktemp("line"),
    )
    return {
        "directed": shards_of(graph, folder / "four", 4),
        "one": shards_of(graph, folder / "one", 1),
    }


@pytest.mark.parametrize("model", MODELS)
def test_one_chunk_trains_exactly(stores, model):
    settings = settings_of(model, history_init="zero", recompute=model == "gat")
    expected = train_whole(None, stores["one"], exact(settings), epochs=6)
    got = train_whole(None, stores["one"], settings, epochs=6)
    assert_same_training(got, expected)


@pytest.mark.parametrize("model", MODELS)
def test_drop_is_the_gradient_of_what_frozen_histories_give(stores, model):
    settings = settings_of(model, gradient="drop", history_every=100)
    with open_session(stores["directed"], settings) as session:
        opened, rng = Opened(session), np.random.default_rng(0)
        opened.forget()
        trained = slice(opened.parameters.num_trained)
        at, gradient = opened.parameters.buffer[trained], opened.gradient(2)[trained]
        assert_gradient(lambda: opened.loss(2), at, gradient, rng, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("model", ["gat", "gin"])
def test_layers_computed_again_read_what_they_read_before(stores, model):
    """An epoch that leaves histories as they are, one that makes new ones, and one after it."""
    found = []
    for recompute in (False, True):
        settings = settings_of(model, history_every=2, recompute=recompute)
        with open_session(stores["directed"], settings) as session:
            opened = Opened(session)
            opened.forget()
            found.append([opened.gradient(epoch) for epoch in (2, 3, 4)])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stages": 3}, "--stages 3 times --pipeline-ways 1 is not .* ranks, 2: start 3 ranks"),
        ({"stages": 2, "pipeline_ways": 2}, "--stages 2 times .* 2: start 4 ranks"),
        ({"pipeline_ways": 3}, "--pipeline-ways 3: 2 ranks are not stages of 3 each"),
        ({"layers": 1}, "--layers 1 cannot be parted among 2 stages"),
    ],
)
def test_ranks_that_are_no_stages_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        require_stages(changed(BASE, **options), 2)


def test_a_resume_may_part_layers_anew_and_change_nothing_that_decides_about_numbers():
    """When the guard looks, it may let training go on exactly."""
    decide = decisive(BASE)
    assert not decide.keys() & {"stages", "recompute"}
    assert {"guard_every", "pipeline_ways", "wavefront", "history_every"} <= decide.keys()


@pytest.mark.parametrize(
    ("options", "warns"),
    [({"layers": 8}, False), ({"layers": 9}, True), ({"layers": 9, "residual": True}, False)],
)
def test_deep_models_without_a_way_past_their_layers_are_warned_of(options, warns):
    assert is_deep_and_plain(changed(BASE, **options)) == warns
    assert not is_deep_and_plain(changed(BASE, model="gcnii", layers=64))
