"""Links learned by trainers of their own: the edges among a trainer's shards, and its vertices."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import (
    SAMPLED,
    changed,
    collectives,
    mean_loss,
    on_few_ranks,
    trainers_of,
)
from mpi4py import MPI

from batchgnn.base.errors import ConfigError
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.watch import trace

SHARDS = 8
LINKS = {"layers": 2, "embedding": 6, "eval_negatives": 7, "batch_size": 40}
BASE = changed(SAMPLED, mode="averaging", round="2steps", **LINKS)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    path = shared_folder / f"links-{request.param}"
    if MPI.COMM_WORLD.rank == 0:
        graph = learnable_graph(num_vertices=397, directed=request.param)
        shards_of(graph, path, SHARDS, links=(0.8, 0.1, 0.1))
    MPI.COMM_WORLD.Barrier()
    return path


def train(comm, shards, settings, rounds=3):
    """Mean loss of each round, the parameters after it, and the scores."""
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        found = [mean_loss(share.grid.world, mode.epoch(epoch)) for epoch in range(rounds)]
        scores = {each.name: each.value for each in mode.evaluate()["test"]}
        return found, share.model.parameters.buffer.copy(), scores


@pytest.mark.parametrize("negatives", ["uniform:2", "shared:4"])
def test_one_trainer_is_mode_macrobatch_to_the_bit(comm, shards, negatives):
    settings = changed(BASE, trainers=1, negatives=negatives)
    with open_session(shards, changed(settings, mode="macrobatch"), comm) as share:
        steps = make_mode(share).num_steps
    expected = train(comm, shards, changed(settings, mode="macrobatch"), rounds=2)
    found = train(comm, shards, changed(settings, round=f"{steps}steps"), rounds=2)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[2] == expected[2]


@pytest.mark.parametrize("negatives", ["local:2", "in-batch"])
def test_ranks_of_a_trainer_train_as_one_of_one_rank(comm, shards, negatives):
    trainers = trainers_of(comm.size)
    settings = changed(BASE, trainers=trainers, negatives=negatives)
    expected = on_few_ranks(comm, trainers, lambda few: train(few, shards, settings))
    found = train(comm, shards, settings)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-3, atol=1e-5)
    assert len(set(comm.allgather(found[1].tobytes()))) == 1


def test_seeds_and_roots_are_of_the_trainers_own_vertices(comm, shards):
    """Its seeds are the edges among its shards, each once; negatives are of these shards."""
    with open_session(shards, BASE, comm) as share:
        trainer = make_mode(share).trainer
        own, whole = trainer.share.own, share.own
        seeds = share.task.seeds(own, 0)
        mine = np.concatenate(seeds.own)
        assert seeds.total == len(mine)
        every = np.concatenate(whole.link_seeds())
        target = every % share.manifest.num_vertices
        inside = whole.ownership.owner(target) == comm.rank
        np.testing.assert_array_equal(mine, every[inside])
        assert inside.all() == (comm.size == 1)
        roots = share.task.roots(own, mine, epoch=0, step=1)
        assert (whole.ownership.owner(roots.ids) == comm.rank).all()
        (group,) = roots.targets
        assert not np.isin(roots.ids[group.others], target[inside]).all()  # any, not targets alone


def test_a_round_sends_the_parameters_once_and_nothing_before(comm, shards):
    with open_session(shards, BASE, comm) as share:
        mode = make_mode(share)
        trace.reset()
        list(mode.epoch(0))
        sent = collectives(trace.snapshot())
    assert set(sent) == ({"mean of trainers"} if comm.size > 1 else set())


def test_trainers_learn_links(comm, shards):
    settings = changed(BASE, round="20steps", lr=0.02, dropout=0.0)
    losses, _, scores = train(comm, shards, settings, rounds=5)
    assert losses[-1] < losses[0]
    assert scores["roc-auc"] > 0.55


@pytest.mark.parametrize("negatives", ["uniform:2", "shared:3", "degree:1", "pairs:1"])
def test_negatives_that_a_trainer_does_not_have_are_refused(comm, shards, negatives):
    if comm.size == 1:
        return
    with (
        pytest.raises(ConfigError, match=r"a trainer has its own alone: take local:\d"),
        open_session(shards, changed(BASE, negatives=negatives), comm),
    ):
        pass
