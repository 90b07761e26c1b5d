"""Kept inputs of the vertices that need them most, as many as memory is given for.

Kept are those of which a step can be expected to read the most neighbours: the probability that
the first layer needs the vertex, times its in-degree. The others are aggregated from all their
neighbours in every step, so that the numbers are the same. Exact.
"""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import ConfigError
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.kernels.rows import Rows
from batchgnn.nn.operator import Aggregation
from batchgnn.operators.cached import PartlyCachedOperator
from batchgnn.sampling.inputs import InputPlanner, Inputs
from batchgnn.sampling.kept_inputs import InputAggregation
from batchgnn.sampling.reach import Reach, probability
from batchgnn.store.own_shards import Column, OwnShards


class KeptRows:
    """Rows of some own vertices, asked for by own row, as those of a `Column`."""

    def __init__(self, own: OwnShards, chosen: np.ndarray):
        """chosen: int64 (n,), own rows, distinct; their numbers are not there yet."""
        self.own, self.width, self.dtype = own, own.features.width, own.features.dtype
        self.place = np.full(own.num_own, -1, np.int32)
        self.place[chosen] = np.arange(len(chosen))
        self.held = np.empty((len(chosen), self.width), self.dtype)
        self.column = Column([self.held])

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = the row of own vertex rows[i], which is kept."""
        self.column.take(self.place[rows].astype(np.int64), out)

    def at(self, rows: np.ndarray, fetched: np.ndarray | None = None) -> Rows:
        """As `Column.at`, for vertices that are kept."""
        near, moved = rows >= 0, rows.copy()
        moved[near] = self.place[rows[near]]
        return self.column.at(moved, fetched)

    def shard(self, k: int) -> "_KeptOfShard":
        """What takes the rows of the rank's shard k, and drops those that are not kept."""
        return _KeptOfShard(
            self.place[self.own.first_row[k] : self.own.first_row[k + 1]], self.held
        )


class _KeptOfShard:
    def __init__(self, place: np.ndarray, held: np.ndarray):
        self.place, self.held, self.dtype = place, held, held.dtype

    def __setitem__(self, where: tuple[slice, slice], rows: np.ndarray) -> None:
        place = self.place[where[0]]
        kept = place >= 0
        self.held[place[kept], where[1]] = rows[kept]


class SomeKeptInputs:
    """The kept rows of all ranks, and the operators of first layers that read them."""

    def __init__(
        self,
        world: Comm,
        comm: Comm,
        own: OwnShards,
        aggregation: Aggregation,
        chosen: np.ndarray,
        show: bool = False,
    ):
        """Compute the rows; collective. chosen: own rows; comm: for the fetching of others'."""
        self.aggregation = aggregation
        self.rows = KeptRows(own, chosen)
        self.planner = InputPlanner(comm, own, gcn=False)
        every = list(range(len(own.shards)))
        out = [self.rows.shard(k) for k in every]
        InputAggregation(world, own, aggregation, every).into(out, show=show)
        self.skipped = self.rows.place >= 0
        "bool (num_own,): vertices whose edges the last hop does not draw."

    def operators(self, blocks: list[Block]) -> tuple[list[PartlyCachedOperator], Inputs]:
        """The first layers of M minibatches, and what holds the memory of their rows; collective.

        blocks: of the last hop, over all neighbours but those of kept vertices
        """
        ready = [np.flatnonzero((np.diff(b.indptr) == 0) & (b.degree > 0)) for b in blocks]
        plan = self.planner.plan([b.ids[at] for b, at in zip(blocks, ready, strict=True)])
        inputs = plan.fetch(self.rows)
        operators = [
            PartlyCachedOperator(block, self.aggregation, at, rows)
            for block, at, rows in zip(blocks, ready, inputs.rows, strict=True)
        ]
        return operators, inputs


def most_needed(
    comm: Comm, own: OwnShards, start: np.ndarray, hops: Sequence[int], capacity: int
) -> np.ndarray:
    """At most `capacity` own rows whose aggregation saves the most work, ascending; collective.

    start: (num_own,), the probability that an own vertex is a seed of a step
    hops: fanouts from the seeds to the targets of the first layer
    """
    score = probability(Reach(comm, own).scores(start[:, None], hops))[:, 0] * own.degree_in
    rows = np.flatnonzero(score > 0)
    best = np.lexsort((own.ids[rows], -score[rows]))[:capacity]
    return np.sort(rows[best])


def rows_within(budget: int, row_bytes: int) -> int:
    """Rows that fit into `budget` bytes; raises ConfigError when none does."""
    if budget < row_bytes:
        raise ConfigError(
            f"--aggregate-memory {format_bytes(budget)} holds no row: one takes {row_bytes} bytes "
            "here. Give more, or leave it out to keep all."
        )
    return budget // row_bytes
