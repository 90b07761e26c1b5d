"""Input rows in memory that the ranks of a node share: they read each other's without messages."""

from typing import NamedTuple

import numpy as np

from batchgnn.comm.grid import Grid
from batchgnn.comm.shared import Layout, SharedArrays, has_room, layout_bytes
from batchgnn.comm.values import values_of_all
from batchgnn.graph.ownership import Ownership
from batchgnn.sampling.options import KeptInputs, Sampling
from batchgnn.sampling.topology import topology_bytes
from batchgnn.store.own_shards import Column, OwnShards

NAME = "rows"


class NodeMatrix(NamedTuple):
    """A matrix with a row for each vertex of the node.

    mine  its rows of each own shard, for this rank to fill
    """

    window: SharedArrays
    mine: list[np.ndarray]

    def column(self) -> Column:
        """All rows, once every rank of the node has filled its own; collective."""
        self.window.settle()
        return Column([self.window.arrays[NAME]])


class NodeRows:
    """The vertices of a node, whose ranks fill matrices together.

    ownership  the job's, but all shards of the node are this rank's: rows are numbered by it
    features   a matrix for `OwnShards.features`
    """

    def __init__(self, grid: Grid, own: OwnShards):
        """Make room for the features; collective."""
        self._grid, self._own = grid, own
        ranks = own.ownership.rank_of_shard
        here = np.where(np.isin(ranks, values_of_all(grid.node, grid.rank)), own.rank, ranks)
        self.ownership = Ownership(own.ownership.offset, here)
        self.features = self.matrix()
        own.feature_memory = self.features.mine

    def matrix(self) -> NodeMatrix:
        """As wide as the features; collective."""
        offset, base, shards = self.ownership.offset, self.ownership.base, self._own.shards
        num_rows = self.ownership.num_own(self._own.rank)
        window = self._grid.share(_layout(self._own, num_rows))
        begin, end = base[shards], base[shards] + offset[shards + 1] - offset[shards]
        rows = window.arrays[NAME]
        return NodeMatrix(window, [rows[b:e] for b, e in zip(begin, end, strict=True)])


def node_rows(
    grid: Grid, own: OwnShards, sampling: Sampling, kept: KeptInputs, *, gcn: bool
) -> NodeRows | None:
    """For --topology node-shared, where rows are held in memory and the node has room; collective.

    Rows that are mapped, and kept inputs that are in files, travel as messages.
    """
    if grid.size == 1 or sampling.topology != "node-shared":
        return None
    num_rows = sum(values_of_all(grid.node, own.num_own))
    needed = layout_bytes(_layout(own, num_rows)) * (1 + (kept.aggregate_cache == "memory"))
    needed += topology_bytes(own.manifest, gcn=gcn)
    in_memory = own.copies_features and kept.aggregate_cache != "store"
    can = all(values_of_all(grid.node, in_memory and has_room(needed)))
    return NodeRows(grid, own) if can else None


def _layout(own: OwnShards, num_rows: int) -> Layout:
    return {NAME: (own.feature_dtype, (num_rows, own.manifest.num_features))}
