"""P ranks train as one rank does: losses, gradients' bytes, exact inference, predictions."""

import numpy as np
import pytest
from mpi.together import (
    SAMPLED,
    WHOLE,
    by_vertex,
    changed,
    collectives,
    mean_loss,
    on_one_rank,
    train_whole,
    written,
)

from batchgnn.comm.step_sum import message_bytes
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.sampling.inference import Inference
from batchgnn.watch import trace

EPOCHS = 5
BASE = changed(SAMPLED, heads=2, input_dropout=0.2)
VARIANTS = {
    "M = 1": {"macrobatch": 1},
    "M = 3": {},
    "overlap": {"overlap": True},
    "M = auto": {"macrobatch": "auto", "overlap": True},
    "all neighbours": {"fanouts": (-1, -1), "norm": "layer"},
}


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    return written(shared_folder / f"shards-{request.param}", directed=request.param)


def train(comm, shards, settings):
    """Mean loss of each epoch, and the exact logits by original id of the vertices owned here."""
    with open_session(shards, settings, comm) as session:
        mode, world = make_mode(session), session.grid.world
        losses = [mean_loss(world, mode.epoch(epoch)) for epoch in range(EPOCHS)]
        logits = Inference(world, session.own, session.model, 1 << 15).logits()
        return losses, by_vertex(session, logits)


alone = on_one_rank(train)
weighted_alone = {"macrobatch": alone, "fullgraph": on_one_rank(train_whole)}


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_ranks_train_as_one(comm, shards, model, variant):
    attention_dropout = 0.3 if model == "gat" else 0.0
    settings = changed(BASE, model=model, attention_dropout=attention_dropout, **variant)
    one = changed(settings, macrobatch=2, overlap=False)
    expected, expected_logits = alone(shards, one)
    losses, logits = train(comm, shards, settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0]
    for vertex, row in logits.items():
        np.testing.assert_allclose(row, expected_logits[vertex], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["macrobatch", "fullgraph"])
def test_ranks_weigh_classes_as_one(comm, shards, mode):
    """By the weights of all training vertices, not of a rank's own."""
    base = {"macrobatch": BASE, "fullgraph": changed(WHOLE, layers=2)}[mode]
    run = {"macrobatch": train, "fullgraph": train_whole}[mode]
    settings = changed(base, class_weights="balanced")
    losses, expected = run(comm, shards, settings)[0], weighted_alone[mode](shards, settings)[0]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0]


def test_rounds_fall_with_m_and_bytes_follow_the_formula(comm, shards):
    """2 L + 2 rounds a macrobatch; a request is one id, a row D floats, a gradient all of them."""
    counted = {}
    for m in (1, 4):
        settings = changed(BASE, macrobatch=m)
        with open_session(shards, settings, comm) as session:
            mode = make_mode(session)
            trace.reset()
            steps = sum(1 for _ in mode.epoch(0))
            counted[m] = collectives(trace.snapshot())
            gradient = message_bytes(session.model.parameters.grad)
        if comm.size == 1:
            assert not counted[m]
            continue
        groups = -(-steps // m)
        calls = {name: each["calls"] for name, each in counted[m].items()}
        assert calls == {
            "sample requests counts": 2 * groups,
            "sample requests": 2 * groups,
            "sample replies counts": 2 * groups,
            "sample replies": 2 * groups,
            "input rows ids counts": groups,
            "input rows ids": groups,
            "input rows": groups,
            "gradient": steps,
        }
        assert counted[m]["gradient"]["bytes"] == steps * gradient
        ids = comm.allreduce(counted[m]["input rows ids"]["bytes"]) / 4
        rows = comm.allreduce(counted[m]["input rows"]["bytes"]) / (12 * 4)
        assert ids == rows
    if comm.size > 1:
        fetched = [counted[m]["input rows"]["bytes"] for m in (1, 4)]
        assert fetched[1] <= fetched[0]


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_sampling_sends_an_id_a_request_and_the_drawn_ids_back(comm, shards, model):
    """A request is one word; its reply a count, a degree, GCN's norm and loop, a word an edge."""
    weighted = model == "gcn" and shards.name.endswith("True")
    with open_session(shards, changed(BASE, model=model), comm) as session:
        mode, own = make_mode(session), session.own
        trace.reset()
        minibatches = mode.prepare(0, range(3), mode.schedule.shuffled(0))
        counted = collectives(trace.snapshot())
        expected = np.zeros(2, np.int64)
        for block in (block for each in minibatches for block in each.blocks):
            remote = own.ownership.owner(block.ids[: block.num_targets]) != own.rank
            edges = np.diff(block.indptr)[remote].sum()
            expected += [
                remote.sum(),
                (2 + (model == "gcn") + weighted) * remote.sum() + edges * (1 + weighted),
            ]
    sent = [
        counted.get(f"sample {what}", {"bytes": 0})["bytes"] for what in ("requests", "replies")
    ]
    total, expected = comm.allreduce(np.array(sent)), comm.allreduce(4 * expected)
    np.testing.assert_array_equal(total, expected)
    assert (total > 0).all() == (comm.size > 1)
