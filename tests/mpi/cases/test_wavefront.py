"""Layers in a pipeline whose chunks go on when what they read is there: exact, in so many slots."""

import json
from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph
from mpi.in_folder import trained
from mpi.together import (
    assert_same_training,
    changed,
    on_one_rank,
    train_whole,
    written,
)
from mpi4py import MPI
from pipelines import LAYERS, exact, sent_in_an_epoch, settings_of

from batchgnn.modes.open import make_mode
from batchgnn.partition.write import write_shards
from batchgnn.run.session import open_session
from batchgnn.watch.timeline import read_timeline

CHUNKS = 12
train_alone = on_one_rank(train_whole)


def chain():
    """A directed weighted graph whose edges join near vertices; a shard is a run of them."""
    graph = learnable_graph(directed=True, num_vertices=131)
    rng, n = np.random.default_rng(0), graph.num_vertices
    target = rng.integers(0, n, 6 * n)
    source = np.clip(target + rng.integers(-5, 6, len(target)), 0, n - 1)
    weight = rng.uniform(0.2, 2, len(target)).astype(np.float32)
    graph = replace(graph, source=source, target=target, weight=weight)
    return graph, rng.permutation(CHUNKS)[np.arange(n) * CHUNKS // n].astype(np.int32)


@pytest.fixture(scope="module")
def stores(shared_folder):
    """Chunks in a chain, whose numbers are mixed; and four that are all joined."""
    path = shared_folder / "chain"
    if MPI.COMM_WORLD.rank == 0:
        graph, shard = chain()
        write_shards(graph, path, shard, num_shards=CHUNKS)
    MPI.COMM_WORLD.Barrier()
    return {"chain": path, "joined": written(shared_folder / "joined", 4, num_vertices=103)}


@pytest.mark.parametrize(
    ("model", "graph"),
    [("sage", "chain"), ("gcn", "chain"), ("gat", "chain"), ("gcnii", "chain"), ("gin", "joined")],
)
def test_steps_are_those_of_one_process(comm, stores, model, graph):
    """With dropout; layers in uneven runs."""
    settings = settings_of(model, wavefront=True)
    got = train_whole(comm, stores[graph], settings, epochs=4)
    expected = train_alone(stores[graph], exact(settings), epochs=4)
    assert_same_training(got, expected, rtol=1e-8)


def test_slots_and_bytes_are_as_many_as_the_formulas_say(comm, stores, shared_folder):
    """C + (L - 1) w + S - 1 slots each way; 2 (S - 1) N H numbers, and no halo."""
    settings, out = settings_of("sage", wavefront=True), shared_folder / f"wave-{comm.size}"
    with trained(comm, stores["chain"], out, changed(settings, epochs=2)):
        result = json.loads((out / "result.json").read_text())
        timeline = read_timeline(out / "timeline.json")
    assert (result["exactness"], result["slots"]["width"]) == ("exact", 1)
    expected = CHUNKS + (LAYERS - 1) * 1 + comm.size - 1
    assert result["slots"]["each_way"] == expected
    assert (result["slots"]["bubble"] == 0) == (comm.size == 1)
    for way in ("chunk forward", "chunk backward"):
        spans = [span for rank in timeline.ranks for span in rank.spans if span.name == way]
        assert {span.about["slot"] for span in spans} == set(range(expected))
    with open_session(stores["chain"], settings, comm) as session:
        mode = make_mode(session)
        sent = sent_in_an_epoch(session, mode, stores["chain"])
    assert sent.stages == 2 * (comm.size - 1) * 131 * 10 * 4
    assert sent.num_bytes == sent.prediction.bytes
    assert sent.num_calls == pytest.approx(comm.size * sent.prediction.calls)
