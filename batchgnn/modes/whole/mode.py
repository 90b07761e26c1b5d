"""Whole-graph training: an epoch is one optimiser step over all vertices of the graph.

Exact: the step is that of one process, up to summation order, for any number of ranks, with or
without overlap. What makes it parallel is the operator of each layer (`WholeGraph`): the loop here
does not know it.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.step_sum import StepSum
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share, load_optimizer, optimizer_state
from batchgnn.modes.whole.roots import StepRoots
from batchgnn.nn.dropout import DropoutStream
from batchgnn.nn.model import Model
from batchgnn.nn.operator import InputOperator
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.watch import trace


@dataclass
class WholeGraph:
    """What a whole-graph mode trains on: own rows of the input, and an operator for each layer.

    operators  from the input to the output; each takes and returns the rows of the own vertices
    x          (num_own, D), the input of the first
    remarks    what result.json says of exactness besides "exact"
    counts     numbers of this rank for the lines of metrics, summed over the ranks there
    """

    operators: list[InputOperator]
    x: np.ndarray
    remarks: list[str] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)


class WholeGraphMode:
    """Trains the model on all seeds at once; every method is collective."""

    num_steps = 1

    def __init__(self, share: Share, graph: WholeGraph):
        """graph: how the share's ranks deal the graph."""
        self.share, self.graph = share, graph
        self.model, self.task, self.optimizer = share.model, share.task, share.make_optimizer()
        self.step_sum = StepSum(share.grid.world, self.model.parameters.grad)
        self.roots = StepRoots(share)
        self.num_seeds = self.roots.total
        for A in graph.operators:
            A.prepare(adjoint=True)  # before activations need the memory

    @property
    def num_own_seeds(self) -> int:
        """Of this rank."""
        return len(self.roots.seeds)

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""
        remarks = self.graph.remarks
        known = [] if any(each.startswith("approximate") for each in remarks) else ["exact"]
        return "; ".join([*known, *remarks])

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the one step of an epoch, unless `first_step` says that it is done."""
        if first_step == 0:
            yield self.train(epoch)

    def train(self, epoch: int) -> StepResult:
        """Forward and backward over all vertices, one all-reduce of the gradient, update."""
        loss_sum = self.gradient(epoch)
        with trace.phase("allreduce"):
            words = self.step_sum(loss_sum)
        with trace.phase("update"):
            self.optimizer.step()
            if self.share.table is not None:
                self.share.table.step(self.optimizer.steps)
        return StepResult(0, loss_sum, self.num_own_seeds, words)

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this rank's share; the own seeds' sum of losses."""
        model, graph = self.model, self.graph
        with trace.phase("forward"):
            roots = self.roots.at(epoch)
            stream = DropoutStream(self.share.seed, epoch, step=0)
            rows, saved = model.forward(graph.operators, graph.x, stream)
        with trace.phase("backward"):
            num_own, chosen = len(rows), roots.take(rows)
            del rows
            scale = 1.0 / max(self.num_seeds, 1)
            loss_sum, dchosen = self.task.loss(chosen, roots.roots, scale)
            drows = roots.put(dchosen, num_own)
            del chosen, dchosen
            dx = model.backward(drows, saved, need_dx=self.share.table is not None)
            if self.share.table is not None:
                self.share.table.gradient = dx
        return loss_sum

    def inference(self) -> "WholeInference":
        """The exact model by the same operators."""
        return WholeInference(self.model, self.graph)

    def evaluate(self) -> dict[str, list[Score]]:
        """Exact scores of the splits "val" and "test"."""
        return self.share.evaluate(self.inference(), "val", "test")

    def state(self) -> ModeState:
        """The optimiser's moments, the same on every rank."""
        return optimizer_state(self.optimizer)

    def load(self, state: ModeState) -> None:
        """Go on from them."""
        load_optimizer(self.optimizer, state)

    def counts(self) -> dict[str, float]:
        """The graph's counts, over all ranks."""
        total = np.array(list(self.graph.counts.values()), np.float64)
        allreduce_sum(self.share.grid.world, total, "epoch sums")
        return dict(zip(self.graph.counts, map(int, total), strict=True))

    def totals(self) -> dict[str, float]:
        """Nothing: the counts are the same in every epoch."""
        return {}


class WholeInference:
    """The exact model over all vertices, two layers in memory at a time; collective."""

    def __init__(self, model: Model, graph: WholeGraph):
        self.model, self.graph = model, graph

    def logits(self) -> np.ndarray:
        """(num_own, width of the task), rows in own order."""
        return self.rows(self.model.num_layers)

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: (num_own, width)."""
        return self.model.evaluate(self.graph.operators[:num_layers], self.graph.x)
