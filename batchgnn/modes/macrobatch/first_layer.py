"""What the first layer of minibatches reads: input rows, kept inputs, copies of remote rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from batchgnn.base.bytes import parse_bytes
from batchgnn.comm.exchange import ArrayRows
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.half import dtype_name
from batchgnn.kernels.rows import Rows
from batchgnn.modes.share import Share
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.inputs import InputRows, Inputs
from batchgnn.sampling.kept_inputs import keep_inputs
from batchgnn.sampling.options import KeptInputs, Sampling
from batchgnn.sampling.reach import seed_probability
from batchgnn.sampling.row_cache import RowCache, cached_rows, capacity_of
from batchgnn.sampling.schedule import Schedule
from batchgnn.sampling.some_kept_inputs import SomeKeptInputs, most_needed, rows_within
from batchgnn.sampling.table_rows import TableRows
from batchgnn.store.own_shards import Column

FirstOperator = LocalOperator | CachedOperator


class FirstLayer:
    """The matrices whose rows are fetched for minibatches, and the operators that read them.

    sources     by name: "features", "aggregated", or both; of all vertices that are here
    here        which vertices' rows need no message
    aggregated  kept inputs of all own vertices, where they are kept
    partial     those of the vertices that need them most, where not all are
    cache       copies of remote rows, where there are some
    remarks     what result.json says of exactness besides "exact"
    """

    def __init__(self, share: Share, schedule: Schedule, fetching: Comm, *, with_norms: bool):
        """Compute what is kept and copy what is cached; collective.

        fetching: of the thread that fetches; with_norms: GCN's norms of remote rows travel
        """
        self.share, self.schedule, self.fetching = share, schedule, fetching
        self.sampling, self.kept = share.settings[Sampling], share.settings[KeptInputs]
        self.hops = self.sampling.hops(self.kept)
        self.aggregation = share.model.aggregation
        near = share.node_rows
        self.here: Ownership = share.own.ownership if near is None else near.ownership
        self.remarks = list(filter(None, [share.own.rounded_features, *self._kept_remarks()]))
        self.partial = self._some_kept()
        self.aggregated: Column | None = None
        self.sources: dict[str, Column] = self._sources()
        self.cache = self._make_cache(with_norms)
        if self.cache is not None:
            self.sources |= self.cache.columns

    def _kept_remarks(self) -> list[str]:
        if not self.kept.is_kept:
            return []
        dtype = self.share.own.feature_dtype
        remarks = ["first layer unsampled"]
        if dtype != np.float32:
            some = self.sampling.aggregate_memory is not None
            those = f", those that {self.share.grid.size} ranks keep" * some
            remarks.append(f"its inputs aggregated to {dtype_name(dtype)}{those}")
        return remarks

    def _some_kept(self) -> SomeKeptInputs | None:
        """Kept inputs of the vertices that need them most, within --aggregate-memory."""
        if self.sampling.aggregate_memory is None:
            return None
        own, grid = self.share.own, self.share.grid
        row_bytes = own.features.width * own.feature_dtype.itemsize
        capacity = rows_within(parse_bytes(self.sampling.aggregate_memory), row_bytes)
        start = seed_probability(own, self.schedule)
        chosen = most_needed(grid.world, own, start, self.hops[:-1], capacity)
        show = self.share.is_first
        comms = grid.world, self.fetching
        return SomeKeptInputs(*comms, own, self.aggregation, chosen, show)

    def _sources(self) -> dict[str, Column]:
        """Matrices whose rows the first layer reads; collective."""
        own, near = self.share.own, self.share.node_rows
        own.load_features()  # into the node's matrix, where there is one
        features = {"features": own.features if near is None else near.features.column()}
        keep = self.kept.aggregate_cache
        if not self.kept.is_kept or self.partial is not None or keep is None:
            return features
        matrix = None if near is None else near.matrix()
        self.aggregated = keep_inputs(
            self.share.grid.world,
            own,
            self.aggregation,
            keep=keep,
            memory=None if matrix is None else matrix.mine,
            show=self.share.is_first,
        )
        aggregated = {"aggregated": self.aggregated if matrix is None else matrix.column()}
        return aggregated if self.aggregation == "gcn" else features | aggregated

    def _make_cache(self, with_norms: bool) -> RowCache | None:
        """Copies of the remote input rows that the seeds of this rank will need most."""
        budget, own = self.sampling.feature_cache, self.share.own
        if budget is None:
            return None
        sources: dict[str, Column | ArrayRows] = {**self.sources}
        if with_norms:
            sources["norm"] = ArrayRows(own.gcn_scale[:, None])
        row_bytes = sum(source.width * source.dtype.itemsize for source in sources.values())
        capacity = capacity_of(parse_bytes(budget), row_bytes, own.ids.dtype.itemsize)
        start, world = seed_probability(own, self.schedule), self.share.grid.world
        return cached_rows(world, own, self.here, sources, start, self.hops, capacity)

    def skipped(self, hop: int) -> np.ndarray | None:
        """bool (num_own,): own vertices whose edges a hop does not draw, for they are kept."""
        is_last = hop + 1 == len(self.hops)
        return self.partial.skipped if self.partial is not None and is_last else None

    def together(self, frontiers: list[np.ndarray]) -> list[list[np.ndarray]]:
        """Input vertices of minibatches, by whose rows travel together: all, or a step's."""
        return [frontiers] if self.share.table is None else [[ids] for ids in frontiers]

    def operators(
        self, inputs: Sequence[InputRows], frontiers: Sequence[np.ndarray], last: Sequence[Block]
    ) -> tuple[Sequence[FirstOperator], Sequence[Rows | TableRows], list[Inputs]]:
        """Of minibatches: operators of the first layer, input rows, what holds these; collective.

        inputs: as `together`; frontiers: their input vertices; last: the blocks of the last hop,
        where one was drawn
        """
        if (table := self.share.table) is not None:
            x = [TableRows(each.over(self.share.grid.world), table) for each in inputs]
            return [LocalOperator(block, self.aggregation) for block in last], x, []
        return self._fetched(inputs[0].over(self.fetching), frontiers, last)

    def _fetched(
        self, inputs: InputRows, frontiers: Sequence[np.ndarray], last: Sequence[Block]
    ) -> tuple[Sequence[FirstOperator], list[Rows], list[Inputs]]:
        sources: Mapping[str, Column] = self.sources
        if "aggregated" not in sources:
            x = inputs.fetch(sources["features"])
            if self.partial is None:
                return [LocalOperator(block, self.aggregation) for block in last], x.rows, [x]
            operators, ready = self.partial.operators(list(last))
            return operators, x.rows, [x, ready]
        if "features" in sources:
            x, aggregated = inputs.fetch_beside(sources["features"], sources["aggregated"])
        else:
            x = aggregated = inputs.fetch(sources["aggregated"])
        pairs = zip(frontiers, aggregated.rows, strict=True)
        return [CachedOperator(ids, rows) for ids, rows in pairs], x.rows, [x]
