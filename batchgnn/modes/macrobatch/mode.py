"""Sampled minibatch training, M minibatches prepared together (BatchGNN, Hoang et al., 2023).

Exact: the optimiser steps are those of one process, up to summation order, for any number of
ranks, any M, and with or without overlap.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from batchgnn.base.bytes import parse_bytes
from batchgnn.base.rng import Purpose
from batchgnn.comm.background import Background
from batchgnn.comm.step_sum import StepSum
from batchgnn.graph.block import Block
from batchgnn.kernels.rng import stream_key
from batchgnn.kernels.rows import Rows
from batchgnn.modes.macrobatch.counts import InputCounts
from batchgnn.modes.macrobatch.first_layer import FirstLayer, FirstOperator
from batchgnn.modes.macrobatch.memory import MACROBATCH_BYTES, evaluation_chunk
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.macrobatch.size import MacrobatchSize
from batchgnn.modes.mode import StepResult
from batchgnn.modes.options import Messages
from batchgnn.modes.share import Share, load_optimizer, optimizer_state
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.operator import Matrix
from batchgnn.operators.local import LocalOperator
from batchgnn.sampling.inference import Inference
from batchgnn.sampling.inputs import InputPlanner, InputRows, Inputs
from batchgnn.sampling.left_out import LeftOut
from batchgnn.sampling.options import Batches, Sampling
from batchgnn.sampling.sampler import Sampler
from batchgnn.sampling.schedule import Schedule
from batchgnn.sampling.table_rows import TableRows
from batchgnn.sampling.topology import share_topology
from batchgnn.store.mode_state import ModeState
from batchgnn.store.own_shards import Column
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Roots
from batchgnn.watch import trace


@dataclass
class DrawnSteps:
    """What was sampled for the steps of a macrobatch, of each: roots, blocks, input vertices.

    inputs: where the rows of the input vertices are, as `FirstLayer.together`
    """

    steps: range
    roots: list[Roots]
    blocks: list[list[Block]]
    frontiers: list[np.ndarray]
    inputs: list[InputRows]


@dataclass
class Minibatch:
    """One optimiser step's work on this rank, prepared: operators input-first, and input rows.

    x: of trained rows, which the steps before move, where they will be
    inputs: what holds the memory of the input rows; of all minibatches of the macrobatch
    """

    step: int
    roots: Roots
    blocks: list[Block]
    operators: list[FirstOperator]
    x: Rows | TableRows
    inputs: list[Inputs]


class MacrobatchMode:
    """Trains the model on sampled minibatches; every method is collective."""

    def __init__(self, share: Share):
        """Share the topology, keep and cache inputs as the settings say."""
        grid, own, settings = share.grid, share.own, share.settings
        sampling, together = settings[Sampling], settings[Macrobatches]
        self.share, self.own, self.model, self.task = share, own, share.model, share.task
        self.optimizer = share.make_optimizer()
        self.step_sum = StepSum(grid.world, self.model.parameters.grad)
        self.overlap = bool(settings[Messages].overlap)
        self.schedule = make_schedule(share)
        self.excludes = bool(sampling.exclude_seeds)
        budget = parse_bytes(together.macrobatch_memory or MACROBATCH_BYTES)
        self.size = MacrobatchSize(together.macrobatch, budget, overlap=self.overlap)
        drawing = grid.background if self.overlap else grid.world
        fetching = grid.fetching if self.overlap else grid.world
        gcn, shared = self.model.aggregation == "gcn", None
        if sampling.topology == "node-shared" and grid.size > 1:
            shared = share_topology(grid, own, gcn=gcn)
        self.sampler = Sampler(drawing, own, gcn=gcn, shared=shared)
        norms = None if shared is None else shared.gcn_scale
        with_norms = gcn and norms is None
        self.first = FirstLayer(share, self.schedule, fetching, with_norms=with_norms)
        self.planner = InputPlanner(
            drawing, own, gcn=gcn, here=self.first.here, cache=self.first.cache, norms=norms
        )
        counted = {"with_cache": self.first.cache is not None, "with_left_out": self.excludes}
        self.input_counts = InputCounts(grid.world, **counted)

    def inference(self) -> Inference:
        """Exact inference in chunks; its first layer from kept inputs, where there are."""
        return chunked_inference(self.share, self.first.aggregated)

    @cached_property
    def _evaluation(self) -> Inference:
        """Of all evaluations, whose chunks are the same."""
        return self.inference()

    def evaluate(self) -> dict[str, list[Score]]:
        """Exact scores of the splits "val" and "test"."""
        return self.share.evaluate(self._evaluation, "val", "test")

    def state(self) -> ModeState:
        """The optimiser's moments, the same on every rank."""
        return optimizer_state(self.optimizer)

    def load(self, state: ModeState) -> None:
        """Go on from them."""
        load_optimizer(self.optimizer, state)

    def counts(self) -> dict[str, float]:
        """Minibatches prepared together; an epoch's input rows and edges left out, of all ranks."""
        return {"macrobatch": self.macrobatch, **self.input_counts.of_epoch()}

    def totals(self) -> dict[str, float]:
        """How often the feature cache had what was needed, over all epochs so far."""
        return self.input_counts.totals()

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""
        return "; ".join(["exact", *self.first.remarks])

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
        self.input_counts.begin_epoch()
        while first_step < self.num_steps:
            self.size.agree(self.share.grid.world)
            groups = self.size.groups(first_step, self.num_steps)
            yield from self._train_groups(epoch, groups, shuffled)
            first_step = groups[-1].stop

    def _train_groups(
        self, epoch: int, groups: list[range], shuffled: list[np.ndarray]
    ) -> Iterator[StepResult]:
        def draw(k: int) -> DrawnSteps:
            return self.draw(epoch, groups[k], shuffled)

        def fetch(_: int) -> list[Minibatch]:
            minibatches = self.fetch(next(each_drawn))
            num_edges = sum(block.num_edges for each in minibatches for block in each.blocks)
            fetched_bytes = sum(each.fetched.nbytes for each in minibatches[0].inputs)
            self.size.record(len(minibatches), num_edges, fetched_bytes)
            return minibatches

        count, enabled = len(groups), self.overlap
        with (
            Background(
                draw, count=count, enabled=enabled, lane="sampler", waiting="wait for blocks"
            ) as drawn,
            Background(fetch, count=count, enabled=enabled, lane="fetcher") as prepared,
        ):
            each_drawn = iter(drawn)
            for minibatches in prepared:
                minibatches.reverse()
                while minibatches:  # what was trained is let go before the next are prepared
                    yield self.train(epoch, minibatches.pop())

    def prepare(self, epoch: int, steps: range, shuffled: list[np.ndarray]) -> list[Minibatch]:
        """Sample and fetch what the steps need: 2 L + 2 rounds of messages for all of them."""
        return self.fetch(self.draw(epoch, steps, shuffled))

    def draw(self, epoch: int, steps: range, shuffled: list[np.ndarray]) -> DrawnSteps:
        """Sample the blocks of the steps and ask for their input rows: 2 L + 1 rounds, on a
        communicator of their own; one more, of seeds, where these carry no message.
        """
        seeds = [(self.schedule.own_seeds(shuffled, step), step) for step in steps]
        roots = [self.task.roots(self.own, each, epoch, step) for each, step in seeds]
        frontiers = [each.ids.astype(self.own.ids.dtype, copy=False) for each in roots]
        blocks: list[list[Block]] = [[] for _ in steps]
        with trace.phase("sample"):
            left_out = self._left_out(roots)
            for hop, fanout in enumerate(self.first.hops):
                keys = [stream_key(self.share.seed, Purpose.SAMPLE, epoch, t, hop) for t in steps]
                which = fanout, self.first.skipped(hop), left_out
                drawn = self.sampler.hop(frontiers, np.array(keys, np.uint64), *which)
                for each, block in zip(blocks, drawn, strict=True):
                    each.append(block)
                frontiers = [block.ids for block in drawn]
        with trace.phase("locate"):
            inputs = [self.planner.plan(each) for each in self.first.together(frontiers)]
            self.input_counts.add(inputs, 0 if left_out is None else left_out.num_drawn)
            if scales := [scale for each in inputs for scale in each.scale or []]:
                blocks = [_scaled(*pair) for pair in zip(blocks, scales, strict=True)]
        return DrawnSteps(steps, roots, blocks, frontiers, inputs)

    def _left_out(self, roots: Sequence[Roots]) -> LeftOut | None:
        """The seeds of all ranks in each step, where they carry no message; collective."""
        if not self.excludes:
            return None
        edges = [each.edges for each in roots if each.edges is not None]
        return LeftOut(self.sampler.comm, edges)

    def fetch(self, drawn: DrawnSteps) -> list[Minibatch]:
        """Fetch the input rows of what was drawn: 1 round, on a communicator of its own."""
        blocks = drawn.blocks
        with trace.phase("fetch"):
            last = [each[-1] for each in blocks if each]
            firsts, x, held = self.first.operators(drawn.inputs, drawn.frontiers, last)
        minibatches = []
        for m, step in enumerate(drawn.steps):
            operators = self._operators(firsts[m], blocks[m][: self.model.num_layers - 1])
            minibatches.append(Minibatch(step, drawn.roots[m], blocks[m], operators, x[m], held))
        return minibatches

    def _operators(self, first: FirstOperator, blocks: Sequence[Block]) -> list[FirstOperator]:
        """From the input to the output, ready for use; blocks: of all layers but the first."""
        above = [LocalOperator(block, self.model.aggregation) for block in reversed(blocks)]
        operators = [first, *above]
        for n, operator in enumerate(operators):
            operator.prepare(adjoint=n > 0 or self.share.table is not None)
        return operators

    def train(self, epoch: int, minibatch: Minibatch) -> StepResult:
        """One optimiser step: forward, backward, one all-reduce of the gradient, update."""
        step, roots, table = minibatch.step, minibatch.roots, self.share.table
        loss_sum = self.gradient(epoch, minibatch)
        with trace.phase("allreduce"):
            words = self.step_sum(loss_sum)
        with trace.phase("update"):
            self.optimizer.step()
            if table is not None:
                table.step(self.optimizer.steps)
        return StepResult(step, loss_sum, roots.num_seeds, words)

    def gradient(self, epoch: int, minibatch: Minibatch) -> float:
        """Fill `parameters.grad` with this rank's share; the own seeds' sum of losses."""
        model, num_seeds = self.model, self.schedule.num_seeds(minibatch.step)
        x, table_rows = _as_now(minibatch.x)
        with trace.phase("forward"):
            stream = DropoutStream(self.share.seed, epoch, minibatch.step)
            rows, saved = model.forward(minibatch.operators, x, stream)
        with trace.phase("backward"):
            loss_sum, drows = self.task.loss(rows, minibatch.roots, 1.0 / num_seeds)
            dx = model.backward(drows, saved, need_dx=table_rows is not None)
            del saved
            if table_rows is not None and dx is not None:
                table_rows.send_home(dx)
        return loss_sum


def chunked_inference(share: Share, kept: Column | None = None) -> Inference:
    """Exact inference over all edges, in chunks; kept: the first layer's inputs, if they are."""
    chunk = evaluation_chunk(share.settings)
    return Inference(share.grid.world, share.own, share.model, chunk, kept)


def make_schedule(share: Share) -> Schedule:
    """The minibatches of the share's seeds."""
    seeds = share.task.seeds(share.own, share.split_index)
    batch_size = share.settings[Batches].size
    return Schedule(seeds.own, share.own.shards, seeds.counts, batch_size, share.seed)


def _as_now(x: Rows | TableRows) -> tuple[Matrix, TableRows | None]:
    """Input rows, and where their gradients go, if anywhere; collective."""
    if isinstance(x, Rows):
        return x, None
    with trace.phase("fetch"):
        return x.fetch(), x


def _scaled(blocks: list[Block], input_scale: np.ndarray) -> list[Block]:
    """GCN's blocks with the norms of all their sources: those of the next hop's targets."""
    scales = [block.scale for block in blocks[1:]] + [input_scale][: len(blocks)]
    norms = [scale for scale in scales if scale is not None]
    return [block.with_scale(norm) for block, norm in zip(blocks, norms, strict=True)]
