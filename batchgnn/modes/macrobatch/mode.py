"""Sampled minibatch training, M minibatches prepared together (BatchGNN, Hoang et al., 2023).

Exact: the optimiser steps are those of one process, up to summation order, for any number of
ranks, any M, and with or without overlap.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn.base.bytes import parse_bytes
from batchgnn.base.rng import Purpose
from batchgnn.comm.background import Background
from batchgnn.comm.exchange import ArrayRows, allreduce_sum
from batchgnn.comm.step_sum import StepSum
from batchgnn.graph.block import Block
from batchgnn.kernels.half import dtype_name
from batchgnn.kernels.rng import stream_key
from batchgnn.kernels.rows import Rows
from batchgnn.modes.macrobatch.size import MacrobatchSize
from batchgnn.modes.mode import StepResult
from batchgnn.nn.loss import loss_and_gradient
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.inference import Inference
from batchgnn.sampling.inputs import InputPlanner, InputRows, Inputs
from batchgnn.sampling.kept_inputs import aggregated_inputs
from batchgnn.sampling.node_rows import NodeRows
from batchgnn.sampling.reach import seed_probability
from batchgnn.sampling.row_cache import RowCache, cached_rows, capacity_of
from batchgnn.sampling.sampler import Sampler
from batchgnn.sampling.schedule import Schedule
from batchgnn.sampling.some_kept_inputs import PartialAggregates, most_needed, rows_within
from batchgnn.sampling.topology import share_topology
from batchgnn.store.own_shards import Column
from batchgnn.watch import trace


@dataclass
class Drawn:
    """What was sampled for the steps of a macrobatch, of each: seeds, blocks, input vertices.

    inputs: where the rows of the input vertices are, of all steps
    """

    steps: range
    seeds: list[np.ndarray]
    blocks: list[list[Block]]
    frontiers: list[np.ndarray]
    inputs: InputRows


@dataclass
class Minibatch:
    """One optimiser step's work on this rank, prepared: operators input-first, and input rows.

    inputs: what holds the memory of the input rows; of all minibatches of the macrobatch
    """

    step: int
    seeds: np.ndarray
    blocks: list[Block]
    operators: list[LocalOperator | CachedOperator]
    x: Rows
    inputs: list[Inputs]


class MacrobatchMode:
    """Trains `model` on sampled minibatches; every method is collective."""

    def __init__(
        self, grid, own, schedule: Schedule, model, optimizer, settings, node_rows: NodeRows | None
    ):
        """settings: a config.Settings; grid: comm.grid.Grid; own: this rank's OwnShards."""
        self.grid, self.own, self.schedule = grid, own, schedule
        self.model, self.optimizer = model, optimizer
        self.sum_gradient = StepSum(grid.world, model.parameters.grad)
        self.seed, self.fanouts = settings.seed, settings.fanouts
        self.overlap = settings.overlap
        budget = parse_bytes(settings.macrobatch_memory)
        self.size = MacrobatchSize(settings.macrobatch, budget, overlap=self.overlap)
        gcn = model.aggregation == "gcn"
        sampling = grid.background if self.overlap else grid.world
        fetching = grid.fetching if self.overlap else grid.world
        whole = None
        if settings.topology == "node-shared" and grid.size > 1:
            whole = share_topology(grid, own, gcn=gcn)
        self.sampler = Sampler(sampling, own, gcn=gcn, whole=whole)
        self.labels = ["exact", *filter(None, [own.rounded_features])]
        self.hops = settings.hops
        self.fetching = fetching
        self.partial = self._some_aggregates(settings)
        self.here = own.ownership if node_rows is None else node_rows.ownership
        self.sources, self.aggregated = self._sources(settings, node_rows)
        norms = None if whole is None else whole.gcn_scale
        self.cache = self._make_cache(settings.feature_cache, gcn and norms is None)
        if self.cache is not None:
            self.sources |= self.cache.columns
        self.planner = InputPlanner(
            sampling, own, gcn=gcn, here=self.here, cache=self.cache, norms=norms
        )
        self.far_rows = np.zeros(2)
        self._forget_counts()

    def inference(self) -> Inference:
        """Exact inference in chunks; its first layer from aggregated inputs, where there are."""
        return Inference(self.grid.world, self.own, self.model, aggregated=self.aggregated)

    def counts(self) -> dict[str, float]:
        """Input rows of all ranks' minibatches: distinct, remote, and copied before training."""
        mine = [self.num_inputs, self.num_distinct, self.num_remote, self.num_cached]
        total = np.array(mine, np.float64)
        allreduce_sum(self.grid.world, total, "epoch sums")
        rows, distinct, *far = total
        self.far_rows += far
        counts: dict[str, float] = {
            "macrobatch": self.macrobatch,
            "input_rows": int(rows),
            "distinct_input_rows": int(distinct),
            "deduplication": round(distinct / max(rows, 1), 4),
            "remote_input_rows": int(far[0]),
        }
        return counts | _hits(*far) if self.cache is not None else counts

    def totals(self) -> dict[str, float]:
        """How often the feature cache had what was needed, over all epochs so far."""
        return {} if self.cache is None else _hits(*self.far_rows)

    def _forget_counts(self) -> None:
        """Input rows of an epoch so far, on this rank; all but the first distinct in a macrobatch.

        Remote rows are those that are not here; cached ones were copied before training.
        """
        self.num_inputs = self.num_distinct = self.num_remote = self.num_cached = 0

    def _count(self, inputs: InputRows) -> None:
        self.num_inputs += sum(map(len, inputs.rows))
        self.num_distinct += inputs.num_distinct
        self.num_remote += inputs.num_remote
        self.num_cached += inputs.num_cached

    def _make_cache(self, budget: str | None, with_norms: bool) -> RowCache | None:
        """Copies of the remote input rows that the seeds of this rank will need most."""
        if budget is None:
            return None
        own = self.own
        sources: dict[str, Column | ArrayRows] = {**self.sources}
        if with_norms:
            sources["norm"] = ArrayRows(own.gcn_scale[:, None])
        row_bytes = sum(source.width * source.dtype.itemsize for source in sources.values())
        capacity = capacity_of(parse_bytes(budget), row_bytes, own.ids.dtype.itemsize)
        start = seed_probability(own, self.schedule)
        return cached_rows(self.grid.world, own, self.here, sources, start, self.hops, capacity)

    def _some_aggregates(self, settings) -> PartialAggregates | None:
        """Aggregated inputs of the vertices that need them most, within --aggregate-memory."""
        own = self.own
        if settings.aggregate_cache != "off":
            self.labels.append("first layer unsampled")
            if own.feature_dtype != np.float32:
                self.labels.append(f"its inputs aggregated to {dtype_name(own.feature_dtype)}")
        if settings.aggregate_memory is None:
            return None
        row_bytes = own.features.width * own.feature_dtype.itemsize
        capacity = rows_within(parse_bytes(settings.aggregate_memory), row_bytes)
        world, start = self.grid.world, seed_probability(own, self.schedule)
        chosen = most_needed(world, own, start, self.hops[:-1], capacity)
        show = self.grid.rank == 0
        aggregation = self.model.aggregation
        return PartialAggregates(world, self.fetching, own, aggregation, chosen, show)

    def _sources(self, settings, node: NodeRows | None) -> tuple[dict[str, Column], Column | None]:
        """Matrices whose rows the first layer reads, and the own aggregates; collective.

        The matrices have the rows of all vertices that are here: with `node`, those of the node.
        """
        own, aggregation, keep = self.own, self.model.aggregation, settings.aggregate_cache
        features = {"features": own.features}
        if node is not None:
            features = {"features": node.features.column()}
        if keep == "off" or self.partial is not None:
            return features, None
        world, show = self.grid.world, self.grid.rank == 0
        matrix = None if node is None else node.matrix()
        memory = None if matrix is None else matrix.mine
        mine = aggregated_inputs(world, own, aggregation, keep=keep, memory=memory, show=show)
        aggregated = {"aggregated": mine if matrix is None else matrix.column()}
        return aggregated if aggregation == "gcn" else features | aggregated, mine

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""
        return "; ".join(self.labels)

    @property
    def macrobatch(self) -> int:
        """Minibatches that are prepared together now."""
        return self.size.value

    @property
    def num_steps(self) -> int:
        """Optimiser steps in an epoch."""
        return self.schedule.num_steps

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the steps of an epoch from `first_step` on; yields after each."""
        shuffled = self.schedule.shuffled(epoch)
        self._forget_counts()
        while first_step < self.num_steps:
            self.size.agree(self.grid.world)
            groups = self.size.groups(first_step, self.num_steps)
            yield from self._train_groups(epoch, groups, shuffled)
            first_step = groups[-1].stop

    def _train_groups(self, epoch: int, groups: list[range], shuffled) -> Iterator[StepResult]:
        def draw(k: int) -> Drawn:
            return self.draw(epoch, groups[k], shuffled)

        def fetch(_: int) -> list[Minibatch]:
            minibatches = self.fetch(next(each_drawn))
            num_edges = sum(block.num_edges for each in minibatches for block in each.blocks)
            fetched_bytes = sum(each.fetched.nbytes for each in minibatches[0].inputs)
            self.size.record(len(minibatches), num_edges, fetched_bytes)
            return minibatches

        each = {"count": len(groups), "enabled": self.overlap}
        with (
            Background(draw, **each, lane="sampler", waiting="wait for blocks") as drawn,
            Background(fetch, **each, lane="fetcher") as prepared,
        ):
            each_drawn = iter(drawn)
            for minibatches in prepared:
                minibatches.reverse()
                while minibatches:  # what was trained is let go before the next are prepared
                    yield self.train(epoch, minibatches.pop())

    def prepare(self, epoch: int, steps: range, shuffled) -> list[Minibatch]:
        """Sample and fetch what the steps need: 2 L + 2 rounds of messages for all of them."""
        return self.fetch(self.draw(epoch, steps, shuffled))

    def draw(self, epoch: int, steps: range, shuffled) -> Drawn:
        """Sample the blocks of the steps and ask for their input rows: 2 L + 1 rounds, on a
        communicator of their own.
        """
        seeds = [self.schedule.own_seeds(shuffled, step) for step in steps]
        frontiers = seeds
        blocks: list[list[Block]] = [[] for _ in steps]
        with trace.phase("sample"):
            for hop, fanout in enumerate(self.hops):
                keys = [stream_key(self.seed, Purpose.SAMPLE, epoch, t, hop) for t in steps]
                skipped = None
                if self.partial is not None and hop + 1 == len(self.hops):
                    skipped = self.partial.skipped
                drawn = self.sampler.hop(frontiers, np.array(keys, np.uint64), fanout, skipped)
                for each, block in zip(blocks, drawn, strict=True):
                    each.append(block)
                frontiers = [block.ids for block in drawn]
        with trace.phase("locate"):
            inputs = self.planner.plan(frontiers)
            self._count(inputs)
            if inputs.scale is not None:
                blocks = [_scaled(*pair) for pair in zip(blocks, inputs.scale, strict=True)]
        return Drawn(steps, seeds, blocks, frontiers, inputs)

    def fetch(self, drawn: Drawn) -> list[Minibatch]:
        """Fetch the input rows of what was drawn: 1 round, on a communicator of its own."""
        blocks = drawn.blocks
        with trace.phase("fetch"):
            inputs = drawn.inputs.over(self.fetching)
            firsts, x, held = self._first_layers(inputs, drawn.frontiers, blocks)
        minibatches = []
        for m, step in enumerate(drawn.steps):
            operators = self._operators(firsts[m], blocks[m][: self.model.num_layers - 1])
            minibatches.append(Minibatch(step, drawn.seeds[m], blocks[m], operators, x[m], held))
        return minibatches

    def _first_layers(self, inputs: InputRows, frontiers, blocks):
        """Operators of the first layer, their input rows, what holds these; collective."""
        sources, aggregation = self.sources, self.model.aggregation
        last = [each[-1] for each in blocks if each]
        if "aggregated" not in sources:
            x = inputs.fetch(sources["features"])
            if self.partial is None:
                return [LocalOperator(block, aggregation) for block in last], x.rows, [x]
            operators, ready = self.partial.operators(last)
            return operators, x.rows, [x, ready]
        if "features" in sources:
            x, aggregated = inputs.fetch_beside(sources["features"], sources["aggregated"])
        else:
            x = aggregated = inputs.fetch(sources["aggregated"])
        pairs = zip(frontiers, aggregated.rows, strict=True)
        return [CachedOperator(ids, rows) for ids, rows in pairs], x.rows, [x]

    def _operators(self, first: LocalOperator | CachedOperator, blocks: list[Block]):
        """From the input to the output, ready for use; blocks: of all layers but the first."""
        above = [LocalOperator(block, self.model.aggregation) for block in reversed(blocks)]
        operators = [first, *above]
        for n, operator in enumerate(operators):
            operator.prepare(adjoint=n > 0)
        return operators

    def train(self, epoch: int, minibatch: Minibatch) -> StepResult:
        """One optimiser step: forward, backward, one all-reduce of the gradient, update."""
        model, step = self.model, minibatch.step
        with trace.phase("forward"):
            logits, saved = model.forward(
                minibatch.operators,
                minibatch.x,
                seed=self.seed,
                epoch=epoch,
                step=step,
                training=True,
            )
        labels = self.own.label[self.own.ownership.local_rows(minibatch.seeds)]
        scale = 1.0 / self.schedule.num_seeds(step)
        with trace.phase("backward"):
            loss_sum, dlogits = loss_and_gradient(logits, labels, scale)
            model.backward(dlogits, saved)
        with trace.phase("allreduce"):
            words = self.sum_gradient()
        with trace.phase("update"):
            self.optimizer.step()
        return StepResult(step, loss_sum, len(minibatch.seeds), words)


def _hits(remote: float, cached: float) -> dict[str, float]:
    """How many of the remote input rows that were needed lay in the feature cache."""
    rate = round(cached / max(remote, 1), 4)
    return {"feature_cache_hits": int(cached), "feature_cache_hit_rate": rate}


def _scaled(blocks, input_scale):
    """GCN's blocks with the norms of all their sources: those of the next hop's targets."""
    norms = [block.scale for block in blocks[1:]] + [input_scale][: len(blocks)]
    return [block.with_scale(norm) for block, norm in zip(blocks, norms, strict=True)]
