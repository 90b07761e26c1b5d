"""Vertices without features: made columns are as stored ones in every mode."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import ALIKE, changed, mean_loss, on_one_rank, wait_asleep

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

MODES = {
    "fullgraph": {"layers": 2},
    "tensor": {"layers": 2},
    "macrobatch": {"layers": 2, "fanouts": (4, 3), "batch_size": 60, "feature_cache": "1K"},
    "pipeline": {"layers": 4},
}
BASE = settings_of(mode="fullgraph", hidden=8, lr=0.01, dropout=0.3, **ALIKE)
GRAPH = learnable_graph(num_vertices=203, directed=True)


def stored(comm, path, features):
    """The shards of GRAPH with other features; the first rank writes them."""
    if comm.rank == 0 and not path.exists():
        shards_of(replace(GRAPH, features=features.astype(np.float32)), path)
    wait_asleep()
    return path


def losses(comm, shards, settings):
    """Of three epochs."""
    with open_session(shards, settings, comm) as session:
        mode, world = make_mode(session), session.grid.world
        return [mean_loss(world, mode.epoch(epoch)) for epoch in range(3)]


alone = on_one_rank(losses)


@pytest.mark.parametrize("mode", MODES)
def test_made_columns_train_as_if_they_were_stored(comm, shared_folder, mode):
    """The reference has them as features, on one rank."""
    degree = np.bincount(GRAPH.target, minlength=GRAPH.num_vertices)
    columns = {"constant": np.ones(len(degree)), "degree": np.log1p(degree)}
    bare = stored(comm, shared_folder / "bare", np.empty((len(degree), 0)))
    settings = changed(BASE, mode=mode, **MODES[mode])
    for name, column in columns.items():
        featured = stored(comm, shared_folder / name, column[:, None])
        found = losses(comm, bare, changed(settings, inputs=name))
        np.testing.assert_allclose(found, alone(featured, settings), rtol=2e-5, err_msg=name)
