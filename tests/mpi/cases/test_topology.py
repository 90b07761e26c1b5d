"""What a node shares: its topology is what the shards hold, its rows are those of its ranks; the
same draws and losses, and no messages but to other nodes.
"""

from pathlib import Path

import numpy as np
import pytest
from mpi.together import SAMPLED, changed, mean_loss, written
from mpi4py import MPI

from batchgnn.base.errors import MemoryPlanError
from batchgnn.comm import grid as grids
from batchgnn.comm import shared
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.open import make_mode, plan_memory
from batchgnn.modes.options import Messages
from batchgnn.run.session import open_session
from batchgnn.sampling.topology import share_topology, topology_bytes
from batchgnn.store.shard_store import ShardStore
from batchgnn.watch import trace

BASE = changed(SAMPLED, topology="node-shared")
SHARED = "this rank's part of the node's shared topology"
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
    """Mean loss of each epoch; each collective's calls and bytes in the last."""
    with open_session(shards, settings, comm) as session:
        mode, losses = make_mode(session), []
        for epoch in range(EPOCHS):
            trace.reset()
            losses.append(mean_loss(session.grid.world, mode.epoch(epoch)))
            collectives = {
                name: (each["calls"], each["bytes"])
                for lane in trace.snapshot().values()
                for name, each in lane["collectives"].items()
            }
        return (
            losses,
            collectives,
            -(-mode.num_steps // settings[Macrobatches].macrobatch),
            mode.num_steps,
        )


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("model", ["sage", "gcn"])
def test_the_same_steps_in_two_rounds_a_macrobatch(comm, shards, model, overlap):
    """Ids and rows of inputs are all that travels; GCN's norms are on the node too."""
    settings = changed(BASE, model=model, overlap=overlap)
    expected, *_ = trained(comm, shards, changed(settings, topology="sharded"))
    losses, collectives, groups, steps = trained(comm, shards, settings)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    if comm.size > 1:
        calls = {name: calls for name, (calls, _) in collectives.items()}
        names = ("input rows ids counts", "input rows ids", "input rows")
        assert calls == dict.fromkeys(names, groups) | {"gradient": steps}


ROWS = {
    "sage": {},
    "gcn": {"model": "gcn"},
    "mapped": {"features": "mapped"},
    "bfloat16": {"feature_dtype": "bfloat16"},
    "copies of rows": {"feature_cache": "2K"},
    "gcn, copies of rows": {"model": "gcn", "feature_cache": "2K"},
    "aggregates": {"aggregate_cache": "memory"},
    "gcn's aggregates, copies": {
        "model": "gcn", "aggregate_cache": "memory", "feature_cache": "2K",
    },
    "aggregates, float16": {"aggregate_cache": "memory", "feature_dtype": "float16"},
    "aggregates in files": {"aggregate_cache": "store"},
}  # fmt: skip
TRAVEL = {"mapped", "aggregates in files"}
"Rows that are not in memory that the node shares."


@pytest.mark.parametrize("num_nodes", [1, 2])
@pytest.mark.parametrize("name", ROWS)
def test_rows_travel_between_nodes_only(comm, shards, monkeypatch, name, num_nodes):
    """All ranks on one node, and two nodes whose ranks alternate, beside each its own node."""
    settings = changed(BASE, **ROWS[name])
    expected, *_ = trained(comm, shards, changed(settings, topology="sharded"))

    def sent_by(nodes: int) -> int:
        monkeypatch.setattr(grids, "ranks_of_node", lambda world: world.Split(world.rank % nodes))
        losses, collectives, *_ = trained(comm, shards, settings)
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
        return comm.allreduce(collectives.get("input rows", (0, 0))[1])

    def overlaps(nodes: int) -> bool | None:
        monkeypatch.setattr(grids, "ranks_of_node", lambda world: world.Split(world.rank % nodes))
        with open_session(shards, changed(settings, overlap=None), comm) as session:
            return session.settings[Messages].overlap

    most, sent = sent_by(comm.size), sent_by(num_nodes)
    assert most > 0 or comm.size == 1
    assert overlaps(num_nodes) == (sent > 0)
    if name in TRAVEL or num_nodes >= comm.size:
        assert sent == most
    else:
        assert sent < most
        assert sent == 0 or num_nodes > 1


def test_all_rows_of_the_node_are_those_of_its_ranks(comm, shards):
    with open_session(shards, BASE, comm) as session:
        own, near = session.own, session.node_rows
        if comm.size == 1:
            assert near is None
            return
        mine = np.array(own.features.parts[0])
        assert np.shares_memory(own.features.parts[0], near.features.mine[0])
        [rows] = near.features.column().parts
        assert rows.ctypes.data % shared.ALIGNMENT == 0
        ids = np.arange(session.manifest.num_vertices, dtype=own.ids.dtype)
        assert (near.ownership.owner(ids) == own.rank).all()
        store = ShardStore(shards)
        every = [store.shard(s).features for s in range(store.manifest.num_shards)]
        np.testing.assert_array_equal(rows, np.concatenate(every))
        np.testing.assert_array_equal(mine, every[int(own.shards[0])])
        del rows


def test_rows_travel_where_the_node_has_no_room_for_them(comm, shards, monkeypatch):
    monkeypatch.setattr(shared, "_free_bytes", lambda: shared.OVERHEAD_BYTES)
    with open_session(shards, BASE, comm) as session:
        assert session.node_rows is None
        assert session.own.feature_memory is None


def test_the_plan_counts_it_once_a_node(comm, shards):
    with open_session(shards, changed(BASE, model="gcn"), comm) as session:
        part = plan_memory(session.extent()).parts[SHARED]
        whole = topology_bytes(session.manifest, gcn=True)
        assert whole <= part * session.grid.node_size < whole + session.grid.node_size
        manifest = session.manifest
        id_bytes = manifest.id_dtype.itemsize + (4 if manifest.weighted else 0)
        least = 8 * manifest.num_vertices + id_bytes * manifest.num_edges
        loops = 4 * manifest.num_vertices if manifest.weighted else 0
        most = least + 4 * manifest.num_vertices + loops
        assert least < whole < most + 6 * shared.ALIGNMENT
    with open_session(shards, changed(BASE, topology="sharded"), comm) as session:
        assert not plan_memory(session.extent()).parts[
            "this rank's part of the node's shared topology"
        ]


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
