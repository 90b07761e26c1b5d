"""Sampled minibatch training, M minibatches prepared together (BatchGNN, Hoang et al., 2023).

Exact: the optimiser steps are those of one process, up to summation order, for any number of
ranks, any M, and with or without overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from batchgnn import trace
from batchgnn.comm.background import Background
from batchgnn.comm.exchange import ArrayRows, allreduce_sum
from batchgnn.graph.block import Block
from batchgnn.kernels.half import dtype_name
from batchgnn.kernels.rng import stream_key
from batchgnn.kernels.rows import Rows
from batchgnn.memory import parse_bytes
from batchgnn.modes.aggregate import aggregated_inputs
from batchgnn.modes.feature_cache import RowCache, cached_rows, capacity_of
from batchgnn.modes.inputs import InputPlanner, InputRows, Inputs
from batchgnn.modes.macrobatch_size import MacrobatchSize
from batchgnn.modes.reach import seed_probability
from batchgnn.modes.sampler import Sampler
from batchgnn.modes.schedule import Schedule
from batchgnn.nn.loss import loss_and_gradient
from batchgnn.operators.cached import CachedOperator
from batchgnn.operators.local import LocalOperator
from batchgnn.rng import Purpose
from batchgnn.store.own_shards import Column


@dataclass
class Minibatch:
    """One optimiser step's work on this rank, prepared: operators input-first, and input rows."""

    step: int
    seeds: np.ndarray
    blocks: list[Block]
    operators: list[LocalOperator | CachedOperator]
    x: Rows
    inputs: Inputs


@dataclass(frozen=True)
class StepResult:
    """What one optimiser step did on this rank; sums over own seeds."""

    step: int
    loss_sum: float
    num_correct: int
    num_seeds: int


class MacrobatchMode:
    """Trains `model` on sampled minibatches; every method is collective."""

    def __init__(self, grid, own, schedule: Schedule, model, optimizer, settings):
        """settings: a config.Settings; grid: comm.grid.Grid; own: this rank's OwnShards."""
        self.grid, self.own, self.schedule = grid, own, schedule
        self.model, self.optimizer = model, optimizer
        self.seed, self.fanouts = settings.seed, settings.fanouts
        self.overlap = settings.overlap
        budget = parse_bytes(settings.macrobatch_memory)
        self.size = MacrobatchSize(settings.macrobatch, budget, in_flight=1 + self.overlap)
        gcn = model.aggregation == "gcn"
        comm = grid.background if self.overlap else grid.world
        self.sampler = Sampler(comm, own, gcn=gcn)
        self.labels = ["exact", *filter(None, [own.rounded_features])]
        self.sources = self._sources(settings.aggregate_cache)
        self.hops = self.fanouts[:-1] if "aggregated" in self.sources else self.fanouts
        self.cache = self._make_cache(settings.feature_cache, gcn)
        if self.cache is not None:
            self.sources |= self.cache.columns
        self.planner = InputPlanner(comm, own, gcn=gcn, cache=self.cache)
        self._forget_counts()

    def _forget_counts(self) -> None:
        """Input rows of an epoch so far, on this rank; all but the first distinct in a macrobatch.

        Remote rows are those that other ranks own; cached ones were copied here before training.
        """
        self.num_inputs = self.num_distinct = self.num_remote = self.num_cached = 0

    def _count(self, inputs: InputRows) -> None:
        self.num_inputs += sum(map(len, inputs.rows))
        self.num_distinct += inputs.num_distinct
        self.num_remote += inputs.num_remote
        self.num_cached += inputs.num_cached

    def _make_cache(self, budget: str | None, gcn: bool) -> RowCache | None:
        """Copies of the remote input rows that the seeds of this rank will need most."""
        if budget is None:
            return None
        own = self.own
        sources: dict[str, Column | ArrayRows] = {**self.sources}
        if gcn:
            sources["norm"] = ArrayRows(own.gcn_scale[:, None])
        row_bytes = sum(source.width * source.dtype.itemsize for source in sources.values())
        capacity = capacity_of(parse_bytes(budget), row_bytes, own.ids.dtype.itemsize)
        start = seed_probability(own, self.schedule)
        return cached_rows(self.grid.world, own, sources, start, self.hops, capacity)

    def _sources(self, aggregate_cache: str) -> dict[str, Column]:
        """The matrices whose rows the first layer reads; collective."""
        own, aggregation = self.own, self.model.aggregation
        if aggregate_cache == "off":
            return {"features": own.features}
        self.labels.append("first layer unsampled")
        if own.feature_dtype != np.float32:
            self.labels.append(f"its inputs aggregated to {dtype_name(own.feature_dtype)}")
        world, show = self.grid.world, self.grid.rank == 0
        aggregated = aggregated_inputs(world, own, aggregation, keep=aggregate_cache, show=show)
        if aggregation == "gcn":
            return {"aggregated": aggregated}
        return {"features": own.features, "aggregated": aggregated}

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

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[StepResult]:
        """Train the steps of an epoch from `first_step` on; yields after each."""
        shuffled = self.schedule.shuffled(epoch)
        self._forget_counts()
        while first_step < self.num_steps:
            self.size.agree(self.grid.world)
            groups = self.size.groups(first_step, self.num_steps)
            yield from self._train_groups(epoch, groups, shuffled)
            first_step = groups[-1].stop

    def _train_groups(self, epoch: int, groups: list[range], shuffled) -> Iterator[StepResult]:
        def prepare(k: int) -> list[Minibatch]:
            minibatches = self.prepare(epoch, groups[k], shuffled)
            num_edges = sum(block.num_edges for each in minibatches for block in each.blocks)
            self.size.record(len(minibatches), num_edges, minibatches[0].inputs.fetched.nbytes)
            return minibatches

        with Background(prepare, len(groups), enabled=self.overlap) as prepared:
            for minibatches in prepared:
                for minibatch in minibatches:
                    yield self.train(epoch, minibatch)

    def prepare(self, epoch: int, steps: range, shuffled) -> list[Minibatch]:
        """Sample and fetch what the steps need: 2 L + 2 rounds of messages for all of them."""
        seeds = [self.schedule.own_seeds(shuffled, step) for step in steps]
        frontiers = seeds
        blocks: list[list[Block]] = [[] for _ in steps]
        with trace.phase("sample"):
            for hop, fanout in enumerate(self.hops):
                keys = [stream_key(self.seed, Purpose.SAMPLE, epoch, t, hop) for t in steps]
                drawn = self.sampler.hop(frontiers, np.array(keys, np.uint64), fanout)
                for each, block in zip(blocks, drawn, strict=True):
                    each.append(block)
                frontiers = [block.ids for block in drawn]
        with trace.phase("fetch"):
            inputs = self.planner.plan(frontiers)
            x, aggregated = self._fetch(inputs)
        self._count(inputs)
        if inputs.scale is not None:
            blocks = [_scaled(*pair) for pair in zip(blocks, inputs.scale, strict=True)]
        minibatches = []
        for m, step in enumerate(steps):
            first = None
            if aggregated is not None:
                first = CachedOperator(frontiers[m], aggregated.rows[m])
            operators = self._operators(blocks[m], first)
            minibatches.append(Minibatch(step, seeds[m], blocks[m], operators, x.rows[m], x))
        return minibatches

    def _fetch(self, inputs: InputRows) -> tuple[Inputs, Inputs | None]:
        """The input rows, and the aggregated ones where the first layer has them; collective."""
        if "aggregated" not in self.sources:
            return inputs.fetch(self.sources["features"]), None
        if "features" in self.sources:
            return inputs.fetch_beside(self.sources["features"], self.sources["aggregated"])
        aggregated = inputs.fetch(self.sources["aggregated"])
        return aggregated, aggregated

    def _operators(self, blocks: list[Block], first: CachedOperator | None):
        """From the input to the output, the first of all if given; ready for use."""
        operators: list[LocalOperator | CachedOperator] = [] if first is None else [first]
        operators += [LocalOperator(block, self.model.aggregation) for block in reversed(blocks)]
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
            loss_sum, num_correct, dlogits = loss_and_gradient(logits, labels, scale)
            model.backward(dlogits, saved)
        with trace.phase("allreduce"):
            allreduce_sum(self.grid.world, model.parameters.grad, "gradient")
        with trace.phase("update"):
            self.optimizer.step()
        return StepResult(step, loss_sum, num_correct, len(minibatch.seeds))


def _scaled(blocks, input_scale):
    """GCN's blocks with the norms of all their sources: those of the next hop's targets."""
    norms = [block.scale for block in blocks[1:]] + [input_scale][: len(blocks)]
    return [block.with_scale(norm) for block, norm in zip(blocks, norms, strict=True)]
