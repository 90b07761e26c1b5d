"""Numbers to learn: P ranks train as one in every mode; scores, the best epoch and predictions."""

import json

import h5py
import numpy as np
import pytest
from graphs import learnable_graph, shards_of, with_numbers
from jobs import metrics, result
from mpi.in_folder import trained
from mpi.together import (
    ALIKE,
    SAMPLED,
    WHOLE,
    assert_same_training,
    by_vertex,
    changed,
    mean_loss,
    on_one_rank,
    train_whole,
)
from mpi4py import MPI

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.evaluate import evaluate
from batchgnn.run.predict import predict, predicted_rows
from batchgnn.run.session import load_best, open_session

GRAPH = with_numbers(learnable_graph(directed=True))
LOSSES = ("mse", "mae")


@pytest.fixture(scope="module")
def shards(shared_folder):
    if MPI.COMM_WORLD.rank == 0:
        shards_of(GRAPH, shared_folder / "shards")
    MPI.COMM_WORLD.Barrier()
    return shared_folder / "shards"


alone = on_one_rank(train_whole)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", ["fullgraph", "tensor"])
def test_ranks_train_on_the_whole_graph_as_one(comm, shards, mode, loss):
    settings = changed(WHOLE, mode=mode, loss=loss, input_dropout=0.2)
    expected = alone(shards, changed(settings, mode="fullgraph"))
    assert_same_training(train_whole(comm, shards, settings), expected, rtol=1e-8)


def sampled_losses(comm, shards, loss):
    with open_session(shards, changed(SAMPLED, loss=loss), comm) as share:
        mode = make_mode(share)
        return [mean_loss(share.grid.world, mode.epoch(epoch)) for epoch in range(5)]


sampled_losses_alone = on_one_rank(sampled_losses)


@pytest.mark.parametrize("loss", LOSSES)
def test_ranks_train_on_samples_as_one(comm, shards, loss):
    expected = sampled_losses_alone(shards, loss)
    np.testing.assert_allclose(sampled_losses(comm, shards, loss), expected, rtol=1e-5)
    assert expected[-1] < 0.8 * expected[0]


def scores_of(predicted, label):
    """rmse, mae and r2 of whole arrays."""
    error = predicted.astype(np.float64) - label
    spread = np.square(label - label.mean(dtype=np.float64)).sum()
    return {
        "rmse": np.sqrt(np.square(error).mean()),
        "mae": np.abs(error).mean(),
        "r2": 1 - np.square(error).sum() / spread,
    }


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_the_best_epoch_is_the_one_with_the_best_score_whichever_way_that_is(
    comm, shards, shared_folder, metric, capsys
):
    """So many steps that validation turns worse: patience ends training."""
    out, options = shared_folder / metric, {"layers": 2, "hidden": 32, "lr": 0.05, "patience": 3}
    settings = settings_of(mode="fullgraph", metric=metric, epochs=200, **options, **ALIKE)
    with trained(comm, shards, out, settings) as share:
        load_best(share, out)
        numbers = by_vertex(share, predicted_rows(share, "prediction")["number"].tolist())
    lines, ended = metrics(out), result(out)
    scored = [line[f"val_{metric}"] for line in lines]
    best = np.argmax(scored) if metric == "r2" else np.argmin(scored)
    assert ended["best_epoch"] == best + 1
    assert len(lines) == best + 1 + 3 < 200
    assert (ended["metric"], ended["higher_is_better"]) == (metric, metric == "r2")
    numbers = {vertex: x for each in comm.allgather(numbers) for vertex, x in each.items()}
    rows = np.flatnonzero((GRAPH.split == 3) & np.isfinite(GRAPH.label))
    wanted = scores_of(np.array([numbers[row] for row in rows]), GRAPH.label[rows])
    assert {name: ended[f"test_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    assert wanted["r2"] > 0.5
    evaluate(out)
    if comm.rank == 0:
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said == pytest.approx({f"test_{name}": x for name, x in wanted.items()}, rel=1e-5)
        assert next(iter(said)) == f"test_{metric}"
    written = shared_folder / f"{metric}.h5"
    predict(out, written)
    comm.Barrier()
    with h5py.File(written) as file:
        assert set(file) == {"number", "original_id"}
        number = file["number"][...]
    assert (number.dtype, number.shape) == (np.float32, GRAPH.label.shape)
    in_order = [numbers[row] for row in range(len(number))]
    np.testing.assert_allclose(number, in_order, rtol=1e-4, atol=1e-5)
