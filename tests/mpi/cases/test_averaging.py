"""Mode averaging: trainers of their own on the edges among their shards, and their mean."""

import time

import numpy as np
import pytest
from graphs import GraphArrays, shards_of
from jobs import losses, result
from mpi.in_folder import trained, trained_in_two
from mpi.together import (
    SAMPLED,
    changed,
    collectives,
    mean_loss,
    on_few_ranks,
    on_one_rank,
    trainers_of,
    wait_asleep,
    written,
)

from batchgnn.base.errors import BatchGNNError
from batchgnn.modes.averaging.mean import message_bytes
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.store.shard_store import ShardStore
from batchgnn.watch import interrupt, trace

ROUNDS, SHARDS = 3, 8
BASE = changed(SAMPLED, mode="averaging", round="2steps", batch_size=30)


@pytest.fixture(scope="module")
def shards(shared_folder):
    return written(shared_folder / "shards", SHARDS)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def either(request, shards, shared_folder):
    return written(shared_folder / "directed", SHARDS, directed=True) if request.param else shards


def train(comm, shards, settings, rounds=ROUNDS):
    """Mean loss of each epoch, and the parameters after it."""
    with open_session(shards, settings, comm) as share:
        mode = make_mode(share)
        found = [mean_loss(share.grid.world, mode.epoch(epoch)) for epoch in range(rounds)]
        return found, share.model.parameters.buffer.copy()


alone = on_one_rank(train)


def of_all(comm, array):
    return comm.allgather(array.tobytes())


@pytest.mark.parametrize("overlap", [False, True])
def test_one_trainer_is_mode_macrobatch_to_the_bit(comm, shards, overlap):
    """Rounds that end within a pass, and after it."""
    settings = changed(BASE, trainers=1, overlap=overlap)
    with open_session(shards, changed(settings, mode="macrobatch"), comm) as share:
        steps = make_mode(share).num_steps
    sampled = train(comm, shards, changed(settings, mode="macrobatch"), rounds=2)
    found = train(comm, shards, settings.replace(round=f"{steps}steps"), rounds=2)
    assert found[0] == sampled[0]
    assert (found[1] == sampled[1]).all()
    once = train(comm, shards, settings.replace(round=f"{2 * steps}steps"), rounds=1)
    assert (once[1] == sampled[1]).all()


@pytest.mark.parametrize("model", ["sage", "gcn", "gat"])
def test_ranks_of_a_trainer_train_as_one_of_one_rank(comm, either, model):
    trainers = trainers_of(comm.size)
    settings = changed(BASE, model=model, trainers=trainers)
    expected = on_few_ranks(comm, trainers, lambda few: train(few, either, settings))
    found, parameters = train(comm, either, settings)
    np.testing.assert_allclose(found, expected[0], rtol=1e-5)
    np.testing.assert_allclose(parameters, expected[1], rtol=1e-3, atol=1e-5)
    assert len(set(of_all(comm, parameters))) == 1


def islands(count, size=10):
    """Rings without an edge between them, two vertices of each to train on."""
    rng = np.random.default_rng(2)
    vertex = np.arange(count * size)
    place = vertex % size
    return GraphArrays(
        source=vertex,
        target=vertex - place + (place + 1) % size,
        features=rng.normal(size=(len(vertex), 12)).astype(np.float32),
        label=(rng.random(len(vertex)) < 0.5).astype(np.int32),
        split=np.where(place < 2, 1, np.where(place < 5, 2, 3)).astype(np.uint8),
        num_classes=2,
        directed=False,
    )


def test_a_step_of_trainers_without_edges_between_them_is_one_of_all(comm, shared_folder):
    """By SGD, whose mean of steps is the step of the mean gradient; by Adam it is not."""
    path = shared_folder / "islands"
    if comm.rank == 0:
        shards_of(islands(12), path, 12, "metis")
    wait_asleep()
    size = 24 // comm.size
    settings = changed(BASE, round="1steps", batch_size=size, optimizer="sgd", lr=0.1, dropout=0)
    settings = changed(settings, fanouts=(-1, -1))
    whole = changed(settings, mode="macrobatch", batch_size=24)
    manifest = ShardStore(path).manifest
    assert manifest.edge_cut == 0
    assert (manifest.num_seeds == 2).all()
    found, expected = train(comm, path, settings, 1)[1], alone(path, whole, 1)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    adam = train(comm, path, changed(settings, optimizer="adam"), 1)[1]
    if comm.size > 1:
        assert np.abs(adam - alone(path, changed(whole, optimizer="adam"), 1)[1]).max() > 1e-3


def test_trainers_have_the_edges_among_their_shards_and_no_other(comm, either):
    with open_session(either, BASE, comm) as share:
        own = make_mode(share).trainer.share.own
        ranks, store = share.own.ownership.rank_of_shard, ShardStore(either)
        offset, left, every = store.manifest.offset, 0, 0
        for s in range(SHARDS):
            whole = store.shard(s)
            shard_of = np.searchsorted(offset, whole.in_indices, side="right") - 1
            inside = ranks[shard_of] == ranks[s]
            left, every = left + int(inside.sum()), every + len(inside)
            if ranks[s] == comm.rank:
                k = int(np.flatnonzero(own.shards == s)[0])
                assert (own.in_indices.parts[k] == whole.in_indices[inside]).all()
        kept = comm.allreduce(int(own.degree_in.sum()))
    assert kept == left
    assert (kept < every) == (comm.size > 1)
    counts = np.bincount(ranks, minlength=comm.size)
    assert counts.max() - counts.min() <= 1


def test_a_round_sends_the_parameters_once_and_nothing_before(comm, shards):
    with open_session(shards, BASE, comm) as share:
        mode = make_mode(share)
        trace.reset()
        for _ in mode.epoch(0):
            pass
        sent = collectives(trace.snapshot())
        if comm.size == 1:
            assert sent == {}
            return
        assert set(sent) == {"mean of trainers"}
        assert sent["mean of trainers"]["calls"] == 1
        assert sent["mean of trainers"]["bytes"] == message_bytes(share.model.parameters.buffer)


def test_a_round_of_seconds_waits_for_nobody_longer_than_a_step(comm, shards):
    """The last rank is slow; all leave together, and it has taken fewer steps."""
    with open_session(shards, BASE.replace(round="1s", batch_size=20), comm) as share:
        mode = make_mode(share)
        for _ in range(2):  # the first compiles
            begin = time.monotonic()
            steps = 0
            for _ in mode.epoch(0):
                steps += 1
                if comm.rank == comm.size - 1:
                    time.sleep(0.2)
            seconds = time.monotonic() - begin
        counts = mode.counts()
        assert seconds >= 1
        assert max(comm.allgather(seconds)) < 30  # a step, on a machine that others load
        assert steps == comm.allgather(steps)[comm.rank]
        assert counts["fewest_steps"] <= 8 or comm.size == 1
        assert counts["most_steps"] > counts["fewest_steps"] or comm.size == 1


def test_a_trainer_gone_astray_is_left_out_of_the_mean(comm, shards):
    with open_session(shards, BASE, comm) as share:
        mode = make_mode(share)
        steps = mode.epoch(0)
        next(steps)
        if comm.rank == comm.size - 1:
            share.model.parameters.buffer[:] = np.nan
        with np.errstate(all="ignore"):
            rest = list(steps)
        assert all(np.isfinite(step.loss_sum) for step in rest)
        last = rest[-1]
        assert last.words.num_bad == 1
        assert last.words.is_finite == (comm.size > 1)
        if comm.size > 1:
            assert np.isfinite(share.model.parameters.buffer).all()
            assert all(np.isfinite(m).all() for m in mode.trainer.engine.optimizer.arrays.values())
            *_, last = mode.epoch(1)
            assert last.words.num_bad == 0


@pytest.mark.parametrize("average", ["uniform", "edges", "llcg"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(comm, shards, shared_folder, average):
    settings = changed(BASE, average=average, epochs=4, checkpoint_seconds=0.0)
    out = shared_folder / average
    with trained(comm, shards, out, settings):
        pass
    again = trained_in_two(comm, shards, out.with_name(f"{out.name}-again"), settings, epochs=2)
    assert losses(again) == losses(out)
    told = result(again)
    assert told["rounds"] == 4
    assert [each["ranks"] for each in told["trainers"]] == [[r] for r in range(comm.size)]
    assert told["exactness"].startswith("approximate" if comm.size > 1 else "exact")
    assert (told["kept_edges"] < 1) == (comm.size > 1)


def test_a_signal_ends_a_round_of_seconds_at_once(comm, shards, shared_folder, monkeypatch):
    """Told to one rank, when it has taken some steps."""
    asked = [0, 0]
    monkeypatch.setattr(interrupt, "_asked", asked)
    with open_session(shards, BASE.replace(round="10m"), comm) as share:
        mode = make_mode(share)
        begin = time.monotonic()
        for step in mode.epoch(0):
            if step.step == 3 and comm.rank == comm.size - 1:
                asked[1] = 1
        assert time.monotonic() - begin < 120
        assert step.words.end == 0  # the loop asks after the round


def test_ranks_that_do_not_make_trainers_are_refused(comm, shards):
    with (
        pytest.raises(BatchGNNError, match=f"{comm.size} ranks cannot be parted among"),
        open_session(shards, BASE.replace(trainers=comm.size + 1), comm),
    ):
        pass
