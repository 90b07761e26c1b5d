"""`--average llcg`: after each mean, steps on the whole graph by all ranks together."""

import numpy as np
import pytest
from mpi.together import SAMPLED, changed, mean_loss, on_one_rank, written

from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

STEPS = 3
"On the whole graph a round: passes of them end within rounds."

BASE = changed(SAMPLED, mode="averaging", round="2steps", batch_size=60, optimizer="sgd", lr=0.1)
LLCG = changed(BASE, average="llcg", server_steps=STEPS)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    return written(shared_folder / f"shards-{request.param}", 8, directed=request.param)


def train(comm, shards, settings, rounds):
    """Mean loss of each round, and the parameters after it."""
    with open_session(shards, settings, comm) as share:
        mode, found = make_mode(share), []
        for number in range(rounds):
            loss = mean_loss(share.grid.world, mode.epoch(number))
            found.append((loss, share.model.parameters.buffer.copy()))
        return found


def stepped(comm, shards, settings, parameters, velocity, first, count):
    """Parameters and SGD's velocity after some steps of mode macrobatch, counted over all passes,
    from these on; steps of a pass.
    """
    with open_session(shards, changed(settings, mode="macrobatch"), comm) as share:
        mode, buffer = make_mode(share), share.model.parameters.buffer
        buffer[:] = np.frombuffer(parameters, buffer.dtype)
        moving = mode.optimizer.arrays["velocity"]
        moving[:] = np.frombuffer(velocity, buffer.dtype)
        for number in range(first, first + count):
            next(mode.epoch(*divmod(number, mode.num_steps)))
        return buffer.copy(), moving.copy(), mode.num_steps


alone, stepped_alone = on_one_rank(train), on_one_rank(stepped)


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_a_round_is_the_mean_and_then_steps_of_mode_macrobatch(comm, shards, model):
    """Whoever the trainers are; by SGD, whose velocity there is the server's own."""
    uniform, settings = changed(BASE, model=model), changed(LLCG, model=model)
    with open_session(shards, uniform, comm) as share:
        mode, buffer = make_mode(share), share.model.parameters.buffer
        expected, velocity = [], np.zeros_like(buffer)
        for number in range(3):
            list(mode.epoch(number))
            start = buffer.tobytes(), velocity.tobytes()
            moved = stepped_alone(shards, uniform, *start, number * STEPS, STEPS)
            buffer[:], velocity, num_steps = moved
            expected.append(buffer.copy())
    assert num_steps % STEPS
    for (_, found), wanted in zip(train(comm, shards, settings, 3), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-6)


def test_the_steps_of_one_trainer_do_not_depend_on_its_ranks(comm, shards):
    found = train(comm, shards, changed(LLCG, trainers=1), 3)
    for (loss, parameters), (wanted, every) in zip(
        found, alone(shards, changed(LLCG, trainers=1), 3), strict=True
    ):
        assert loss == pytest.approx(wanted, rel=1e-5)
        np.testing.assert_allclose(parameters, every, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("trainers", [None, 1])
def test_all_ranks_have_the_same_parameters_whatever_is_prepared_ahead(
    comm, shards, overlap, trainers
):
    settings = changed(LLCG, overlap=overlap, trainers=trainers, optimizer="adam", lr=0.01)
    found = train(comm, shards, settings, 3)
    for _, parameters in found:
        assert len(set(comm.allgather(parameters.tobytes()))) == 1
    without = train(comm, shards, changed(settings, overlap=False), 3)
    assert (without[-1][1] == found[-1][1]).all()
    kept = train(comm, shards, changed(settings, aggregate_cache="memory"), 1)
    assert np.isfinite(kept[0][1]).all()


def test_a_step_gone_astray_is_told(comm, shards, monkeypatch):
    with open_session(shards, LLCG, comm) as share:
        mode = make_mode(share)
        engine = mode.server.engine
        gradient = engine.gradient

        def astray(epoch, minibatch):
            loss = gradient(epoch, minibatch)
            share.model.parameters.grad[0] = np.nan
            return loss

        monkeypatch.setattr(engine, "gradient", astray)
        *_, last = mode.epoch(0)
        assert not last.words.is_finite
