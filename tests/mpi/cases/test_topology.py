"""The topology that a node shares: what the shards hold, the same draws, and no messages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mpi.together import SAMPLED, mean_loss, written
from mpi4py import MPI

from batchgnn import trace
from batchgnn.comm import shared
from batchgnn.errors import MemoryPlanError
from batchgnn.modes.memory import plan_memory
from batchgnn.modes.topology import share_topology, topology_bytes
from batchgnn.session import open_session
from batchgnn.store.shard_store import ShardStore
from batchgnn.train import make_mode

BASE = replace(SAMPLED, topology="node-shared")
EPOCHS = 2


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    return written(shared_folder / f"shards-{request.param}", directed=request.param)


def test_ranks_of_a_node_see_what_each_wrote(grid):
    shape = (grid.node_size, 3)
    layout = {"a": (np.dtype(np.int8), (5,)), "b": (np.dtype(np.float32), shape)}
    arrays = grid.share(layout)
    arrays.arrays["b"][grid.node_rank] = grid.node_rank + 0.5
    if grid.node_rank == 0:
        arrays.arrays["a"][:] = 7
    arrays.settle()
    expected = np.repeat(np.arange(grid.node_size) + 0.5, 3).reshape(shape)
    np.testing.assert_array_equal(arrays.arrays["b"], expected)
    np.testing.assert_array_equal(arrays.arrays["a"], 7)
    assert arrays.arrays["b"].ctypes.data % shared.ALIGNMENT == 0


@pytest.mark.parametrize("gcn", [False, True])
def test_it_is_what_the_shards_hold(comm, shards, gcn):
    with open_session(shards, BASE, comm) as session:
        whole = share_topology(session.grid, session.own, gcn=gcn)
        own, rows = session.own, whole.rows(session.own.ids)
        [indptr], [indices] = whole.in_indptr.parts, whole.in_indices.parts
        assert indptr[0] == 0
        assert indptr[-1] == len(indices) == session.manifest.num_edges
        assert np.array_equal(np.diff(indptr)[rows], own.degree_in)
        store = ShardStore(shards)
        every = [store.shard(s) for s in range(store.manifest.num_shards)]
        np.testing.assert_array_equal(indices, np.concatenate([s.in_indices for s in every]))
        assert (whole.gcn_scale is not None) == gcn
        assert (whole.in_weight is not None) == (gcn and session.manifest.weighted)
        if gcn:
            np.testing.assert_array_equal(whole.gcn_scale[rows], own.gcn_scale)
        if whole.in_weight is not None:
            weight = np.concatenate([s.in_weight for s in every])
            np.testing.assert_array_equal(whole.in_weight.parts[0], weight)
        del indptr, indices


def trained(comm, shards, settings):
    """Mean loss of each epoch, and how often each collective was called in the last."""
    with open_session(shards, settings, comm) as session:
        mode, losses = make_mode(session), []
        for epoch in range(EPOCHS):
            trace.reset()
            losses.append(mean_loss(session.grid.world, mode.epoch(epoch)))
            calls = {
                name: each["calls"]
                for lane in trace.snapshot().values()
                for name, each in lane["collectives"].items()
            }
        return losses, calls, -(-mode.num_steps // settings.macrobatch), mode.num_steps


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_the_same_steps_in_two_rounds_a_macrobatch(comm, shards, model, overlap):
    """Ids and rows of inputs are all that travels; GCN's norms are on the node too."""
    settings = replace(BASE, model=model, overlap=overlap)
    expected, *_ = trained(comm, shards, replace(settings, topology="sharded"))
    losses, calls, groups, steps = trained(comm, shards, settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    if comm.size > 1:
        names = ("input rows ids counts", "input rows ids", "input rows")
        assert calls == dict.fromkeys(names, groups) | {"gradient": steps}


def test_the_plan_counts_it_once_a_node(comm, shards):
    with open_session(shards, replace(BASE, model="gcn"), comm) as session:
        part = plan_memory(session).parts["this rank's part of the node's shared topology"]
        whole = topology_bytes(session.manifest, gcn=True)
        assert whole <= part * session.grid.node_size < whole + session.grid.node_size
        manifest = session.manifest
        id_bytes = manifest.id_dtype.itemsize + (4 if manifest.weighted else 0)
        least = 8 * manifest.num_vertices + id_bytes * manifest.num_edges
        assert least < whole < least + 4 * manifest.num_vertices + 5 * shared.ALIGNMENT
    with open_session(shards, replace(BASE, topology="sharded"), comm) as session:
        assert not plan_memory(session).parts["this rank's part of the node's shared topology"]


def test_too_little_shared_memory_is_said_on_all_ranks(comm, shards, monkeypatch):
    monkeypatch.setattr(shared, "window_folder", lambda: Path("/no/such/folder"))
    sentence = r"has 0 B free\. Take --topology sharded, or enlarge it"
    with (
        pytest.raises(MemoryPlanError, match=sentence),
        open_session(shards, BASE, comm) as session,
    ):
        share_topology(session.grid, session.own, gcn=False)


def test_one_rank_needs_no_copy(shards):
    with open_session(shards, BASE, MPI.COMM_SELF) as session:
        mode = make_mode(session)
        assert mode.sampler.topology is session.own
