"""Half of the training labels missing is the same run as those vertices not trained on: to the bit.

SGD, because Adam hides a gradient of a wrong scale.
"""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of, with_numbers
from jobs import last_checkpoint, metrics
from mpi.in_folder import trained
from mpi.together import ALIKE
from mpi4py import MPI

from batchgnn.modes.assembly import settings_of

OPTIONS = {
    **{"layers": 2, "hidden": 8, "optimizer": "sgd", "lr": 0.05, "dropout": 0.2, "epochs": 3},
    **ALIKE,
}
MODES = {
    "macrobatch": {"fanouts": (4, 3), "batch_size": 40, "macrobatch": 2},
    "fullgraph": {},
    "tensor": {},
}
TASKS = {"multiclass": learnable_graph(), "regression": with_numbers(learnable_graph())}


@pytest.fixture(scope="module")
def stores(shared_folder):
    """Two stores of each task: half of the seeds without labels, and not in the split."""
    rank, folder = MPI.COMM_WORLD.rank, shared_folder
    for task, graph in TASKS.items():
        hidden = (graph.split == 1) & (np.random.default_rng(7).random(graph.num_vertices) < 0.5)
        none = -1 if task == "multiclass" else np.nan
        label = np.where(hidden, none, graph.label).astype(graph.label.dtype)
        split = np.where(hidden, 0, graph.split).astype(np.uint8)
        if rank == 0:
            shards_of(replace(graph, label=label), folder / f"{task}, no labels")
            shards_of(replace(graph, split=split), folder / f"{task}, no seeds")
    MPI.COMM_WORLD.Barrier()
    return folder


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", MODES)
def test_training_vertices_without_a_label_count_for_nothing(comm, stores, mode, task):
    settings, found = settings_of(OPTIONS | MODES[mode], mode=mode), {}
    for name in ("no labels", "no seeds"):
        out = stores / f"{mode}, {task}, {name}"
        with trained(comm, stores / f"{task}, {name}", out, settings) as share:
            num_seeds = share.task.seeds(share.own, 0).total
        lines = [{k: v for k, v in line.items() if k in SAID} for line in metrics(out)]
        found[name] = num_seeds, lines, last_checkpoint(out)["parameters"]
    (num_seeds, lines, parameters), (number, wanted, others) = found.values()
    assert num_seeds == number < 0.6 * (TASKS[task].split == 1).sum()
    assert lines == wanted
    np.testing.assert_array_equal(parameters, others)
    assert lines[-1]["loss"] < lines[0]["loss"]


SAID = {
    *("epoch", "loss", "val_accuracy", "test_accuracy"),
    *("val_rmse", "test_rmse", "val_mae", "test_mae", "val_r2", "test_r2"),
}
