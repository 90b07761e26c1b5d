"""Links learned from samples: P ranks train as one, a step's own edges carry no message in it."""

from itertools import islice

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import (
    GRAPHS,
    SAMPLED,
    WHOLE,
    changed,
    counted_epoch,
    on_one_rank,
    train_whole,
)
from mpi4py import MPI

from batchgnn.modes.open import make_mode
from batchgnn.plan.beside import plan_of
from batchgnn.run.session import open_session
from batchgnn.store.links import HELD_OUT
from batchgnn.watch import trace

LINKS = {"layers": 2, "embedding": 6, "eval_negatives": 7}
BASE = changed(SAMPLED, **LINKS, batch_size=150, exclude_seeds=True)
CASES = {
    "undirected": {"model": "gcn", "decoder": "mlp", "negatives": 2, "dropout": 0.3},
    "directed weighted": {"model": "sage", "decoder": "distmult", "loss": "softmax"},
}


@pytest.fixture(scope="module", params=CASES)
def case(request, shared_folder):
    """A graph's shards, and settings."""
    path = shared_folder / request.param
    if MPI.COMM_WORLD.rank == 0:
        shards_of(learnable_graph(**GRAPHS[request.param]), path, links=(0.8, 0.1, 0.1))
    MPI.COMM_WORLD.Barrier()
    return path, changed(BASE, **CASES[request.param])


alone = on_one_rank(train_whole)
TRAINED = {"dtype": np.float32, "epochs": 3}


def test_ranks_train_as_one(comm, case):
    shards, settings = case
    expected = alone(shards, changed(settings, macrobatch=2), **TRAINED)
    found = train_whole(comm, shards, changed(settings, overlap=True), **TRAINED)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    assert found.losses[-1] < found.losses[0]
    for vertex, row in found.logits.items():
        np.testing.assert_allclose(row, expected.logits[vertex], rtol=1e-3, atol=1e-4)


def test_a_step_over_all_edges_and_neighbours_is_that_of_the_whole_graph(comm, case):
    shards, settings = case
    every = {"fanouts": (-1, -1), "batch_size": 10**6, "exclude_seeds": False, "dropout": 0.0}
    found = train_whole(comm, shards, changed(settings, **every), **TRAINED | {"epochs": 1})
    whole = changed(WHOLE, **LINKS | CASES[shards.name] | {"hidden": 16, "dropout": 0.0})
    expected = alone(shards, whole, **TRAINED | {"epochs": 1})
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6)
    for name, grad in found.gradient.items():
        size = np.abs(expected.gradient[name]).max()
        np.testing.assert_allclose(grad, expected.gradient[name], atol=1e-4 * size, err_msg=name)


NEGATIVES = ["shared:5", "in-batch", "degree:2", "pairs:2"]
WAYS = {
    "overlap": {"overlap": True},
    "kept inputs": {"exclude_seeds": False, "aggregate_cache": "memory"},
    "shared topology": {"topology": "node-shared", "exclude_seeds": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_negatives_are_those_of_one_rank(comm, case, negatives, way):
    shards, settings = case[0], changed(case[1], negatives=negatives)
    how = {name: value for name, value in WAYS[way].items() if name != "overlap"}
    expected = alone(shards, changed(settings, macrobatch=2, **how), **TRAINED | {"epochs": 2})
    found = train_whole(comm, shards, changed(settings, **WAYS[way]), **TRAINED | {"epochs": 2})
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)


@pytest.mark.parametrize("negatives", ["uniform:2", *NEGATIVES])
def test_a_resume_in_the_middle_of_an_epoch_takes_the_same_steps(comm, case, negatives):
    shards, settings = case[0], changed(case[1], negatives=negatives)
    ends = []
    for first_step in (0, 2):
        with open_session(shards, settings, comm) as share:
            mode, parameters = make_mode(share), share.model.parameters.buffer
            if first_step:
                list(islice(mode.epoch(0), first_step))
                kept, moments = parameters.copy(), mode.state()
                mode = make_mode(share)
                parameters[:] = kept
                mode.load(moments)
            assert len(list(mode.epoch(0, first_step))) == mode.num_steps - first_step
            ends.append(parameters.copy())
    np.testing.assert_array_equal(*ends)


def test_bytes_and_calls_are_near_those_predicted(comm, case):
    """Of a graph of uneven degrees, whose neighbours the prediction takes for evenly drawn."""
    shards, settings = case
    with open_session(shards, settings, comm) as share:
        prediction, _ = plan_of(share, shards)
        mode = make_mode(share)
        counted_epoch(mode)
        num_bytes, num_calls = trace.sent()
    assert comm.allreduce(num_bytes) == pytest.approx(prediction.bytes, rel=0.3)
    assert num_calls == prediction.calls


def in_edges(block):
    """Sources of the drawn edges of each target, by its id."""
    sources = np.split(block.ids[block.indices], block.indptr[1:-1])
    return {int(v): each.tolist() for v, each in zip(block.ids, sources, strict=False)}


def drawn(share, excludes):
    """Blocks of the first steps, with or without their own edges, and what was counted."""
    mode = make_mode(share)
    mode.excludes = excludes
    return mode.draw(0, range(2), mode.schedule.shuffled(0)), mode.counts()


def arcs_of_all(comm, edges):
    """(source, target) of the edges of all ranks, integers (2, n) here, in both directions."""
    pairs = [pair for each in comm.allgather(edges.T.tolist()) for pair in map(tuple, each)]
    return {*pairs, *((v, u) for u, v in pairs)}


@pytest.mark.parametrize("fanouts", [(4, 3), (-1, -1)])
def test_blocks_are_those_without_the_steps_own_edges(comm, case, fanouts):
    """Of all ranks, in both directions; edges that are held out are in none."""
    shards, settings = case[0], changed(case[1], fanouts=fanouts)
    with open_session(shards, settings, comm) as share:
        held = [share.own.held_out(name).T.astype(np.int64) for name in HELD_OUT]
        held_out = arcs_of_all(comm, np.concatenate(held, axis=1))
        (found, counts), (every, _) = drawn(share, excludes=True), drawn(share, excludes=False)
    num_left_out = 0
    for m, roots in enumerate(found.roots):
        own_edges = arcs_of_all(comm, roots.edges)
        for block, larger in zip(found.blocks[m], every.blocks[m], strict=True):
            whole = in_edges(larger)
            for row, (v, sources) in enumerate(in_edges(block).items()):
                assert sources == [u for u in whole[v] if (u, v) not in own_edges]
                assert not {(u, v) for u in whole[v]} & held_out
                assert fanouts[0] > 0 or block.degree[row] == len(sources)
                num_left_out += len(whole[v]) - len(sources)
    assert comm.allreduce(num_left_out) == counts["excluded_edges"] > 0
