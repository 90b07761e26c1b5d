"""Whole-graph training in float64: P ranks are one process, whatever the options; bytes counted.

One process is held to central differences in tests/unit/test_fullgraph.py.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI

from batchgnn import trace
from batchgnn.config import Settings
from batchgnn.modes.choice import make_mode
from batchgnn.modes.inference import Inference
from batchgnn.nn.gcnii import make_model
from batchgnn.session import open_session

EPOCHS = 20
BASE = Settings(
    mode="fullgraph",
    layers=3,
    hidden=14,
    heads=2,
    lr=0.01,
    dropout=0.4,
    overlap=False,
    threads=1,
    collective_timeout=60,
)
VARIANTS = {
    "kept aggregate": {},
    "input dropout": {"input_dropout": 0.2, "overlap": True},
    "layer norm, no cache": {"norm": "layer", "aggregate_cache": "off"},
}
GRAPHS = {
    "undirected": {"num_vertices": 397},
    "directed weighted": {"directed": True},
    "many labels": {"multilabel": True, "num_vertices": 203},
}


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """One folder for all ranks."""
    return Path(MPI.COMM_WORLD.bcast(str(tmp_path_factory.mktemp("shared"))))


@pytest.fixture(scope="module", params=GRAPHS)
def shards(request, shared_folder):
    """Isolated vertices, doubled edges, missing labels; sizes that ranks do not divide."""
    return written(shared_folder, request.param)


def written(folder, name):
    """The same shard store on every rank; the first writes it."""
    path = folder / name
    if MPI.COMM_WORLD.rank == 0 and not path.exists():
        shards_of(learnable_graph(**GRAPHS[name]), path)
    MPI.COMM_WORLD.Barrier()
    return path


def opened(session, dtype=np.float64):
    """The mode of the session with a model of this precision."""
    manifest, spec = session.manifest, session.model.spec
    sizes = manifest.num_features, manifest.num_classes
    session.model = make_model(spec, *sizes, seed=session.settings.seed, dtype=dtype)
    return make_mode(session)


def train(comm, shards, settings, dtype=np.float64, epochs=EPOCHS):
    """Mean losses, the first gradient, the last parameters, and exact logits by original id."""
    with open_session(shards, settings, comm) as session:
        mode, losses = opened(session, dtype), []
        parameters = session.model.parameters
        for epoch in range(epochs):
            sums = np.zeros(2)
            for result in mode.epoch(epoch):
                sums += [result.loss_sum, result.num_seeds]
            sums = session.grid.world.allreduce(sums)
            losses.append(sums[0] / sums[1])
            if epoch == 0:
                gradient = {name: grad.copy() for name, grad in parameters.grads.items()}
        logits = mode.inference().logits()
        rows = dict(zip(session.own.original_id.tolist(), logits, strict=True))
        return losses, gradient, parameters.buffer.copy(), rows


@pytest.fixture(scope="module")
def alone():
    """What one rank computes, by (shards, settings); every rank computes it for itself."""
    known = {}

    def of(shards, settings):
        if (shards, settings) not in known:
            known[shards, settings] = train(MPI.COMM_SELF, shards, settings)
        return known[shards, settings]

    return of


def settings_of(model, variant):
    """The settings of a variant that the model can have."""
    attention_dropout = 0.3 if model == "gat" else 0.0
    return replace(BASE, model=model, attention_dropout=attention_dropout, **VARIANTS[variant])


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_ranks_train_as_one(comm, shards, alone, model, variant):
    same_as_one(comm, shards, alone, settings_of(model, variant))


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat", "gcnii"])
def test_deep_models_train_as_one(comm, shared_folder, alone, model):
    shards = written(shared_folder, "directed weighted")
    deep = {"input_dropout": 0.1} if model == "gcnii" else {"norm": "batch", "residual": True}
    same_as_one(comm, shards, alone, replace(BASE, model=model, layers=8, overlap=True, **deep))


def same_as_one(comm, shards, alone, settings):
    """Losses, gradients, last parameters and exact logits are those of one rank."""
    expected, gradient, parameters, rows = alone(shards, replace(settings, overlap=False))
    losses, first, last, logits = train(comm, shards, settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert losses[-1] < losses[0]
    for name, grad in first.items():
        np.testing.assert_allclose(grad, gradient[name], rtol=1e-10, atol=1e-14, err_msg=name)
    np.testing.assert_allclose(last, parameters, rtol=1e-8, atol=1e-10)  # Adam enlarges noise
    for vertex, row in logits.items():
        np.testing.assert_allclose(row, rows[vertex], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("model", ["sage", "gat"])
def test_overlap_changes_no_bit(comm, shared_folder, model):
    shards, results = written(shared_folder, "directed weighted"), []
    for overlap in (False, True):
        settings = replace(settings_of(model, "input dropout"), overlap=overlap)
        losses, _, last, _ = train(comm, shards, settings, np.float32, epochs=5)
        results.append((losses, last))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_aggregates_kept_in_files_are_the_same(comm, shared_folder, model):
    shards, losses = written(shared_folder, "undirected"), []
    for keep in ("memory", "store"):
        settings = replace(BASE, model=model, aggregate_cache=keep)
        losses.append(train(comm, shards, settings, np.float32, epochs=3)[0])
    assert losses[0] == losses[1]
    assert (shards / "aggregate").is_dir()


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
def test_exact_evaluation_is_that_of_the_other_modes(comm, shared_folder, model):
    shards = written(shared_folder, "directed weighted")
    settings = replace(BASE, model=model, norm="layer")
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)
        for epoch in range(3):
            list(mode.epoch(epoch))
        world, own, model = session.grid.world, session.own, session.model
        chunked = Inference(world, own, model, 1 << 12).logits()
        np.testing.assert_allclose(mode.inference().logits(), chunked, rtol=1e-4, atol=1e-5)


def moved_bytes(counts, name):
    """Bytes of a collective on this rank, on either thread."""
    lanes = (lane["collectives"].get(name, {"bytes": 0}) for lane in counts.values())
    return sum(each["bytes"] for each in lanes)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("cache", ["off", "memory"])
def test_bytes_are_the_halo_times_the_widths(comm, shared_folder, model, cache, overlap):
    """D = 12, hidden 14, 4 classes: the narrower of a layer's two widths travels, both ways."""
    if model == "gat" and cache == "memory":
        return
    shards = written(shared_folder, "undirected")
    settings = replace(BASE, model=model, aggregate_cache=cache, overlap=overlap)
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)
        list(mode.epoch(0))
        halo = mode.counts()["halo_rows"]
        trace.reset()
        list(mode.epoch(1))
        counts = trace.snapshot()
    forward = [14 + 2, 14 + 2, 4 + 1] if model == "gat" else [12, 14, 4]
    backward = forward if model == "gat" else [0, 14, 4]
    if cache == "memory":
        forward = backward
    got = comm.allreduce(np.array([moved_bytes(counts, n) for n in ("halo", "halo adjoint")]))
    np.testing.assert_array_equal(got, [4 * halo * sum(forward), 4 * halo * sum(backward)])
    assert (halo > 0) == (comm.size > 1)
    gradient = moved_bytes(counts, "gradient")
    assert gradient >= session.model.parameters.grad.nbytes * (comm.size > 1)
