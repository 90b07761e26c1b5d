"""Links to learn: P ranks train as one where roots are other ranks' vertices; scores too."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import (
    GRAPHS,
    WHOLE,
    assert_same_training,
    changed,
    counted_epoch,
    on_one_rank,
    sent_bytes,
    train_whole,
)
from mpi4py import MPI

from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

BASE = changed(WHOLE, layers=2, embedding=6, eval_negatives=7)
CASES = {
    "undirected": {"decoder": "mlp", "loss": "bce", "negatives": 2, "overlap": True},
    "directed weighted": {"mode": "tensor", "decoder": "distmult", "loss": "softmax"},
}
SCORES = {"mrr", "mrr-worst", "hits@10", "hits@10-worst", "roc-auc", "ap"}


@pytest.fixture(scope="module", params=CASES)
def case(request, shared_folder):
    """A graph's shards, and settings."""
    path = shared_folder / request.param
    if MPI.COMM_WORLD.rank == 0:
        graph = learnable_graph(**GRAPHS[request.param])
        shards_of(graph, path, links=(0.8, 0.1, 0.1))
    MPI.COMM_WORLD.Barrier()
    return path, changed(BASE, **CASES[request.param])


alone = on_one_rank(train_whole)


def test_ranks_train_as_one(comm, case):
    shards, settings = case
    expected = alone(shards, changed(settings, overlap=False))
    assert_same_training(train_whole(comm, shards, settings), expected, rtol=1e-8)


@pytest.mark.parametrize("mode", ["fullgraph", "tensor"])
@pytest.mark.parametrize("negatives", ["shared:5", "in-batch", "degree:2", "pairs:2"])
def test_negatives_are_those_of_one_rank(comm, case, negatives, mode, monkeypatch):
    """Where ranks have parts of shards too; by SGD, which shows what a gradient's size is."""
    monkeypatch.setattr("batchgnn.tasks.negatives.MOST_IN_BATCH", 40)
    shards, settings = case
    how = {"optimizer": "sgd", "lr": 0.1, "mode": mode, "negatives": negatives}
    settings, epochs = changed(settings, **how), 4
    expected = alone(shards, changed(settings, overlap=False), epochs=epochs)
    found = train_whole(comm, shards, settings, epochs=epochs)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-12)
    np.testing.assert_allclose(found.parameters, expected.parameters, rtol=1e-9, atol=1e-12)


class Rows:
    """An inference with few different rows, so that many scores tie."""

    def __init__(self, own):
        vertex = own.original_id[:, None].astype(np.float32)
        self.rows = (vertex * np.arange(1, 7, dtype=np.float32)) % 3 - 1

    def logits(self):
        return self.rows


def scores_of_rows(comm, shards, settings):
    """Of all splits, by name."""
    with open_session(shards, settings, comm) as share:
        found = share.evaluate(Rows(share.own), "train", "val", "test")
        return {(split, each.name): each.value for split in found for each in found[split]}


scores_alone = on_one_rank(scores_of_rows)


def test_scores_with_ties_are_those_of_one_rank(comm, case):
    shards, settings = case[0], changed(case[1], decoder="distmult")  # exact: ties stay ties
    expected = scores_alone(shards, changed(settings, overlap=False))
    assert scores_of_rows(comm, shards, settings) == pytest.approx(expected, rel=1e-12)
    assert {name for split, name in expected if split == "test"} >= SCORES
    assert expected["test", "mrr-worst"] < expected["test", "mrr"] < 1


def test_rows_of_roots_travel_once_each_way(comm, case):
    """Those that other ranks own, as wide as an embedding, and their gradients."""
    shards, settings = case
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        roots = mode.roots.at(1)
        far = int((share.own.ownership.owner(roots.roots.ids) != comm.rank).sum())
        counts = counted_epoch(mode, 1)
    expected = 4 * 6 * comm.allreduce(far)
    assert sent_bytes(comm, counts, "root rows") == expected
    assert sent_bytes(comm, counts, "root rows adjoint") == expected
    assert (expected > 0) == (comm.size > 1)
