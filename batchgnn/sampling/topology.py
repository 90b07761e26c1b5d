"""The whole topology once per node, so that a rank samples any vertex without a message."""

from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.shared import layout_bytes, require_room
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest
from batchgnn.store.topology import WholeTopology, fill_topology, topology_layout
from batchgnn.watch import trace

INSTEAD = "Take --topology sharded"


def topology_bytes(manifest: Manifest, *, gcn: bool) -> int:
    """What the topology takes on a node."""
    return layout_bytes(topology_layout(manifest, gcn=gcn))


def share_topology(grid: Grid, own: OwnShards, *, gcn: bool) -> WholeTopology:
    """Read all shards into memory that the ranks of a node share, each rank some; collective.

    Valid until the grid is freed. Raises MemoryPlanError where it does not fit.
    """
    layout, store = topology_layout(own.manifest, gcn=gcn), own.whole
    with fail_together(grid.world, "sharing the topology"):
        require_room(layout_bytes(layout), grid.host, INSTEAD)
    with trace.phase("share topology"):
        shared = grid.share(layout)
        with fail_together(grid.world, "reading the topology"):
            some = range(grid.node_rank, own.manifest.num_shards, grid.node_size)
            fill_topology(shared.arrays, store, some)
        shared.settle()
    return WholeTopology(shared.arrays)
