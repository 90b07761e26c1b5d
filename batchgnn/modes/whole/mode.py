"""Whole-graph training: an epoch is one optimiser step over all vertices of the graph.

Exact: the step is that of one process, up to summation order, for any number of ranks, with or
without overlap. What makes it parallel is the operator of each layer (`WholeGraph`): the loop here
does not know it. `halo_graph` is graph parallelism: every rank aggregates for its own vertices.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import ArrayRows, RowExchange, allreduce_sum
from batchgnn.comm.step_sum import StepSum
from batchgnn.kernels.half import dtype_name
from batchgnn.modes.mode import StepResult
from batchgnn.nn.linear import dense
from batchgnn.nn.loss import loss_and_gradient
from batchgnn.operators.cached import KeptOperator
from batchgnn.operators.halo import HaloOperator
from batchgnn.sampling.in_edges import InEdges
from batchgnn.sampling.kept_inputs import aggregated_inputs
from batchgnn.store.own_shards import OwnShards
from batchgnn.watch import trace


@dataclass
class WholeGraph:
    """What a whole-graph mode trains on: own rows of the input, and an operator for each layer.

    operators  from the input to the output; each takes and returns the rows of the own vertices
    x          (num_own, D), the input of the first
    labels     what result.json says of exactness besides "exact"
    counts     numbers of this rank for the lines of metrics, summed over the ranks there
    """

    operators: list
    x: np.ndarray
    labels: list[str] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)


class FullgraphMode:
    """Trains `model` on all training vertices at once; every method is collective."""

    num_steps = 1

    def __init__(
        self, comm, graph: WholeGraph, label, train_rows, num_seeds, model, optimizer, *, seed: int
    ):
        """What is the same in every epoch.

        label: of the own vertices, int32 (num_own,) or uint8 (num_own, C)
        train_rows: int64, own rows whose loss counts; num_seeds: how many all ranks have
        """
        self.comm, self.graph, self.model, self.optimizer = comm, graph, model, optimizer
        self.sum_gradient = StepSum(comm, model.parameters.grad)
        self.train_rows, self.train_label = train_rows, np.ascontiguousarray(label[train_rows])
        self.num_seeds, self.seed = num_seeds, seed
        for A in graph.operators:
            A.prepare(adjoint=True)  # before activations need the memory

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""
        return "; ".join(["exact", *self.graph.labels])

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the one step of an epoch, unless `first_step` says that it is done."""
        if first_step == 0:
            yield self.train(epoch)

    def train(self, epoch: int) -> StepResult:
        """Forward and backward over all vertices, one all-reduce of the gradient, update."""
        loss_sum = self.gradient(epoch)
        with trace.phase("allreduce"):
            words = self.sum_gradient()
        with trace.phase("update"):
            self.optimizer.step()
        return StepResult(0, loss_sum, len(self.train_rows), words)

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this rank's share; returns the own loss sum."""
        model, graph = self.model, self.graph
        with trace.phase("forward"):
            keys = {"seed": self.seed, "epoch": epoch, "step": 0, "training": True}
            logits, saved = model.forward(graph.operators, graph.x, **keys)
        with trace.phase("backward"):
            scale = 1.0 / self.num_seeds
            chosen = logits[self.train_rows]
            loss_sum, dchosen = loss_and_gradient(chosen, self.train_label, scale)
            dlogits = buffers.empty(logits.shape, logits.dtype)
            dlogits[...] = 0
            dlogits[self.train_rows] = dchosen
            del logits, chosen, dchosen
            model.backward(dlogits, saved)
        return loss_sum

    def inference(self) -> "WholeInference":
        """The exact model by the same operators."""
        return WholeInference(self.model, self.graph)

    def counts(self) -> dict[str, float]:
        """The graph's counts, over all ranks."""
        total = np.array(list(self.graph.counts.values()), np.float64)
        allreduce_sum(self.comm, total, "epoch sums")
        return dict(zip(self.graph.counts, map(int, total), strict=True))

    def totals(self) -> dict[str, float]:
        """Nothing: the counts are the same in every epoch."""
        return {}


class WholeInference:
    """The exact model over all vertices, two layers in memory at a time; collective."""

    def __init__(self, model, graph: WholeGraph):
        self.model, self.graph = model, graph

    def logits(self) -> np.ndarray:
        """(num_own, num_classes), rows in own order."""
        return self.rows(self.model.num_layers)

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: (num_own, width)."""
        return self.model.evaluate(self.graph.operators[:num_layers], self.graph.x)


def halo_graph(grid, own: OwnShards, model, settings) -> WholeGraph:
    """Graph parallelism: halo operators, the first layer's aggregation kept where it may be.

    settings: a config.Settings; collective. The halo travels on `grid.background` with overlap.
    """
    dtype, ids = model.parameters.buffer.dtype, own.ids
    rounded = list(filter(None, [own.rounded_features]))
    A = halo_operator(grid, own, model.aggregation, overlap=settings.overlap)
    counts: dict[str, float] = {"halo_rows": A.num_halo}
    features = own.features.at(np.arange(own.num_own))
    first: Any = A
    if settings.aggregate_cache == "off":
        x = dense(features).astype(dtype, copy=False)
    else:
        keep, show = settings.aggregate_cache, grid.rank == 0
        kind = model.aggregation
        column = aggregated_inputs(grid.world, own, kind, keep=keep, show=show)
        aggregated = column.at(np.arange(own.num_own))
        first = KeptOperator(ids, kind, aggregated, features, A, dtype)
        x = np.empty((own.num_own, 0), dtype)
        if own.feature_dtype != np.float32:
            rounded.append(f"inputs aggregated to {dtype_name(own.feature_dtype)}")
    return WholeGraph([first, *[A] * (model.num_layers - 1)], x, rounded, counts)


def halo_operator(grid, own: OwnShards, aggregation, *, overlap: bool) -> HaloOperator:
    """The operator of the in-edges of this rank's shards; collective."""
    edges = InEdges(own, grid.size)
    comm = grid.background if overlap else grid.world
    rows = own.ownership.local_rows(edges.remote)
    exchange = RowExchange(comm, rows, edges.counts, "halo")
    far_scale = None
    if aggregation == "gcn":
        far_scale = exchange.forward(ArrayRows(own.gcn_scale[:, None]))[:, 0]
    return HaloOperator(
        grid.world,
        edges.block(far_scale),
        aggregation,
        exchange,
        Courier(enabled=overlap and grid.size > 1),
        num_vertices=own.ownership.num_vertices,
        symmetric=not own.manifest.directed,
    )
