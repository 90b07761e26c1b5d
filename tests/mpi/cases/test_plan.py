"""What `batchgnn plan` predicts of messages is what training sends; rates can be measured."""

import numpy as np
import pytest
from mpi.together import GRAPHS, changed, counted_epoch, written
from mpi4py import MPI

from batchgnn.comm.grid import start
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.open import make_mode
from batchgnn.plan import calibrate
from batchgnn.plan.auto import choose_mode
from batchgnn.plan.beside import plan_of
from batchgnn.plan.whole import AT_MOST
from batchgnn.run.session import open_session
from batchgnn.watch import trace

BASE = settings_of(layers=3, hidden=14, threads=1, collective_timeout=60)


@pytest.fixture(scope="module")
def shards(shared_folder):
    """As many shards as ranks, of sizes that ranks do not divide."""
    return stored(shared_folder, MPI.COMM_WORLD.size)


def stored(folder, num_shards):
    return written(folder / f"shards-{num_shards}", num_shards, **GRAPHS["undirected"])


def predicted_and_sent(comm, shards, settings, epoch=0):
    """The prediction of an epoch; its bytes over all ranks, its calls on this one."""
    with open_session(shards, settings, comm) as session:
        mode = make_mode(session)  # which finds the covers
        prediction, _ = plan_of(session, shards)
        for before in range(epoch):
            list(mode.epoch(before))
        counted_epoch(mode, epoch)
        num_bytes, num_calls = trace.sent()
    return prediction, comm.allreduce(num_bytes), num_calls


@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat", "gcnii"])
@pytest.mark.parametrize("mode", ["fullgraph", "tensor"])
def test_bytes_and_calls_of_a_whole_epoch_are_those_predicted(comm, shards, mode, model):
    settings = changed(BASE, mode=mode, model=model)
    prediction, num_bytes, num_calls = predicted_and_sent(comm, shards, settings)
    assert (num_bytes, num_calls) == (prediction.bytes, prediction.calls)


@pytest.mark.parametrize("options", [{"mode": "fullgraph"}, {"mode": "tensor"}, {"tensor_ways": 1}])
def test_bytes_of_rounded_rows_are_those_predicted(comm, shards, options):
    settings = changed(BASE, **{"mode": "tensor", **options}, model="gcn", wire="bfloat16")
    prediction, num_bytes, _ = predicted_and_sent(comm, shards, settings)
    assert num_bytes == prediction.bytes
    assert prediction.exactness == "approximate: rows travel as bfloat16"


@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_bytes_before_covers_are_known_are_not_exceeded(comm, tmp_path_factory, model):
    """And those of --halo rows are counts."""
    size = comm.size
    shards = stored(comm.bcast(tmp_path_factory.mktemp("fresh") if comm.rank == 0 else None), size)
    rows = predicted_and_sent(comm, shards, changed(BASE, mode="fullgraph", halo="rows"))
    assert rows[1:] == (rows[0].bytes, rows[0].calls)
    settings = changed(BASE, mode="fullgraph", model=model)
    with open_session(shards, settings, comm) as session:
        before, _ = plan_of(session, shards)
    assert (AT_MOST in before.notes) == (size > 1)
    after, num_bytes, _ = predicted_and_sent(comm, shards, settings)
    assert num_bytes <= before.bytes
    assert AT_MOST not in after.notes


@pytest.mark.parametrize("model", ["gin", "gat"])
def test_bytes_and_calls_of_a_grid_are_those_predicted(comm, shared_folder, model):
    """Two groups of two ranks on two shards; halo and slices."""
    if comm.size != 4:
        return
    shards = stored(shared_folder, 2)
    settings = changed(BASE, mode="tensor", tensor_ways=2, model=model)
    prediction, num_bytes, num_calls = predicted_and_sent(comm, shards, settings)
    assert (num_bytes, num_calls) == (prediction.bytes, prediction.calls)


@pytest.mark.parametrize(("model", "exchanges"), [("gcn", 4), ("gat", 6)])
def test_a_decoupled_model_has_few_exchanges_an_epoch(comm, shards, model, exchanges):
    settings = changed(BASE, mode="tensor", model=f"decoupled-{model}")
    prediction, num_bytes, num_calls = predicted_and_sent(comm, shards, settings, epoch=1)
    assert num_bytes == prediction.bytes
    assert num_calls == prediction.calls == (exchanges + 1 if comm.size > 1 else 0)


@pytest.mark.parametrize("options", [{}, {"inputs": "embedding", "model": "gcn"}], ids=str)
def test_bytes_of_sampled_minibatches_are_near_those_predicted(comm, shards, options):
    """Of a graph of uneven degrees, whose neighbours the prediction takes for evenly drawn."""
    settings = changed(BASE, batch_size=100, fanouts=(3, 3, 3), macrobatch=2, **options)
    prediction, num_bytes, num_calls = predicted_and_sent(comm, shards, settings, epoch=1)
    assert num_bytes == pytest.approx(prediction.bytes, rel=0.3)
    assert num_calls == prediction.calls


@pytest.mark.parametrize("trainers", [1, None])
def test_calls_and_bytes_of_a_round_are_those_predicted(comm, shards, trainers):
    """Of trainers of one rank exactly: their parameters, once."""
    settings = changed(BASE, mode="averaging", batch_size=30, macrobatch=2)
    settings = settings.replace(trainers=trainers, round="4steps", fanouts=(3, 3, 3))
    prediction, num_bytes, num_calls = predicted_and_sent(comm, shards, settings)
    if trainers is None:
        assert (num_bytes, num_calls) == (prediction.bytes, prediction.calls)
    assert prediction.is_exact == (trainers == 1 or comm.size == 1)


def test_auto_takes_one_mode_on_all_ranks(comm, shards):
    with start(comm) as grid:
        given, why = choose_mode(grid, shards, BASE)
        assert (given, why) == (BASE, "")
        chosen, why = choose_mode(grid, shards, changed(BASE, mode="auto"))
    mode = chosen[Chosen].mode
    assert why.startswith(mode)
    assert len(set(comm.allgather((mode, why)))) == 1


def test_rates_are_measured_alike_on_all_ranks(comm, shards, monkeypatch):
    monkeypatch.setattr(calibrate, "REPETITIONS", 1)
    with open_session(shards, BASE, comm) as session:
        rates = calibrate.calibrate(session)
    assert len(set(map(repr, comm.allgather(rates)))) == 1
    assert rates.num_nodes == 1
    assert 1e7 < rates.flops < 1e13
    assert sorted(rates.all_to_all) == (calibrate.group_sizes(comm.size) or [2])
    assert 0 <= rates.overlap <= 1
    numbers = [rates.element_s, rates.copy_s, rates.edges.sample_s]
    numbers += [line.edge + line.column for line in (rates.edges.spmm, rates.edges.attend)]
    assert np.all(np.array(numbers) > 0)
