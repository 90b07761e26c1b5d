"""Whole-graph training in float64: P ranks are one process, whatever the options; bytes counted.

One process is held to central differences in tests/unit/test_fullgraph.py.
"""

import networkx
import numpy as np
import pytest
from mpi.together import (
    GRAPHS,
    WHOLE,
    assert_same_training,
    changed,
    counted_epoch,
    on_one_rank,
    sent_bytes,
    train_whole,
    written,
)
from networkx.algorithms import bipartite

from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.sampling.inference import Inference

alone = on_one_rank(train_whole)
VARIANTS = {
    "kept aggregate": {},
    "halo of rows": {"halo": "rows", "aggregate_cache": "off"},
    "input dropout": {"input_dropout": 0.2, "overlap": True},
    "layer norm, no cache": {"norm": "layer", "aggregate_cache": "off"},
}


@pytest.fixture(scope="module", params=["undirected", "directed weighted", "many labels"])
def shards(request, shared_folder):
    return stored(shared_folder, request.param)


def stored(folder, name):
    return written(folder / name, **GRAPHS[name])


def settings_of(model, variant):
    """The settings of a variant that the model can have."""
    attention_dropout = 0.3 if model == "gat" else 0.0
    return changed(WHOLE, model=model, attention_dropout=attention_dropout, **VARIANTS[variant])


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_ranks_train_as_one(comm, shards, model, variant):
    same_as_one(comm, shards, settings_of(model, variant))


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat", "gcnii"])
def test_deep_models_train_as_one(comm, shared_folder, model):
    shards = stored(shared_folder, "directed weighted")
    deep = {"input_dropout": 0.1} if model == "gcnii" else {"norm": "batch", "residual": True}
    same_as_one(comm, shards, changed(WHOLE, model=model, layers=8, overlap=True, **deep))


def same_as_one(comm, shards, settings):
    """Losses, gradients, last parameters and exact logits are those of one rank."""
    expected = alone(shards, changed(settings, overlap=False))
    assert_same_training(train_whole(comm, shards, settings), expected, rtol=1e-8)


@pytest.mark.parametrize("model", ["sage", "gat"])
def test_overlap_changes_no_bit(comm, shared_folder, model):
    shards, results = stored(shared_folder, "directed weighted"), []
    for overlap in (False, True):
        settings = changed(settings_of(model, "input dropout"), overlap=overlap)
        results.append(train_whole(comm, shards, settings, dtype=np.float32, epochs=5))
    assert results[0].losses == results[1].losses
    np.testing.assert_array_equal(results[0].parameters, results[1].parameters)


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_aggregates_kept_in_files_are_the_same(comm, shared_folder, model):
    shards, losses = stored(shared_folder, "undirected"), []
    for keep in ("memory", "store"):
        settings = changed(WHOLE, model=model, aggregate_cache=keep)
        losses.append(train_whole(comm, shards, settings, dtype=np.float32, epochs=3).losses)
    assert losses[0] == losses[1]
    assert (shards / "aggregate").is_dir()


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
def test_exact_evaluation_is_that_of_the_other_modes(comm, shared_folder, model):
    shards = stored(shared_folder, "directed weighted")
    settings = changed(WHOLE, model=model, norm="layer")
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)
        for epoch in range(3):
            list(mode.epoch(epoch))
        world, own, model = session.grid.world, session.own, session.model
        chunked = Inference(world, own, model, 1 << 12).logits()
        np.testing.assert_allclose(mode.inference().logits(), chunked, rtol=1e-4, atol=1e-5)


def halo_rows(comm, shards, **options):
    """Rows that come in for an aggregation, over all ranks."""
    settings = changed(WHOLE, **options)
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)
        list(mode.epoch(0))
        return mode.counts()["halo_rows"]


@pytest.mark.parametrize("name", ["undirected", "directed weighted"])
def test_rows_that_travel_are_the_sizes_of_maximum_matchings(comm, shared_folder, name):
    shards = stored(shared_folder, name)
    cut = far_edges(comm, shards)
    largest, sources = 0, 0
    for pair in {(p, q) for p, q, *_ in cut}:
        graph = networkx.Graph()
        graph.add_edges_from((("s", u), ("t", v)) for p, q, u, v in cut if (p, q) == pair)
        left = [node for node in graph if node[0] == "s"]
        largest += len(bipartite.maximum_matching(graph, left)) // 2
        sources += len(left)
    assert halo_rows(comm, shards, model="gcn") == largest
    assert halo_rows(comm, shards, model="gcn", halo="rows") == sources
    assert halo_rows(comm, shards, model="gat") == sources
    assert (largest < sources) == (comm.size > 1)


def far_edges(comm, shards):
    """(owner of the source, of the target, source, target) of all edges between ranks."""
    with open_session(shards, WHOLE, comm) as session:
        own = session.own
        indptr = [np.diff(part) for part in own.in_indptr.parts]
        target = np.repeat(own.ids, np.concatenate(indptr))
        source = np.concatenate(own.in_indices.parts)
        owner = own.ownership.owner(source)
        rank = np.full(len(source), comm.rank)
        mine = np.stack([owner, rank, source, target], axis=1)[owner != rank].tolist()
    return [tuple(edge) for edges in comm.allgather(mine) for edge in edges]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("cache", ["off", "memory"])
def test_bytes_are_the_halo_times_the_widths(comm, shared_folder, model, cache, overlap):
    """D = 12, hidden 14, 4 classes: the narrower of a layer's two widths travels, both ways."""
    if model == "gat" and cache == "memory":
        return
    shards = stored(shared_folder, "undirected")
    settings = changed(WHOLE, model=model, aggregate_cache=cache, overlap=overlap)
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)
        list(mode.epoch(0))
        halo = mode.counts()["halo_rows"]
        counts = counted_epoch(mode, 1)
    forward = [14 + 2, 14 + 2, 4 + 1] if model == "gat" else [12, 14, 4]
    backward = forward if model == "gat" else [0, 14, 4]
    if cache == "memory":
        forward = backward
    assert sent_bytes(comm, counts, "halo") == 4 * halo * sum(forward)
    assert sent_bytes(comm, counts, "halo adjoint") == 4 * halo * sum(backward)
    assert (halo > 0) == (comm.size > 1)
    gradient = comm.size * session.model.parameters.grad.nbytes
    assert sent_bytes(comm, counts, "gradient") >= gradient * (comm.size > 1)
