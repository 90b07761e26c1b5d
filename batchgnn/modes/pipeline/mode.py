"""Mode pipeline: an epoch is one optimiser step over the whole graph, approximate.

Consecutive layers are stages on ranks of their own; the shards are chunks that pass them one after
another. A chunk reads rows of chunks that come after it from a history (operators/history.py).
From GNNPipe (Chen, Chen, Qian). What it adds: a history that begins with an exact pass, messages
that wait for nobody but the neighbour, and aggregations that are kept for backward, because to
compute them again would read rows that have become fresh meanwhile.
"""

from collections.abc import Generator

import numpy as np

from batchgnn.comm.pipe import Pipe
from batchgnn.modes.mode import StepResult
from batchgnn.modes.options import Messages
from batchgnn.modes.pipeline.line import Line
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.saved import load_histories, saved_histories
from batchgnn.modes.pipeline.start import (
    exact_layers,
    make_stage,
    open_whole,
    stage_bounds,
    start_histories,
)
from batchgnn.modes.share import Share
from batchgnn.modes.whole.halo_graph import halo_graph
from batchgnn.modes.whole.mode import WholeGraphMode, WholeInference
from batchgnn.nn.model import staged
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.watch import trace


class PipelineMode:
    """Trains layers on different ranks; every method is collective.

    exact  the same model over the whole graph, by halo operators: for what has to be exact
    """

    num_steps = 1

    def __init__(self, share: Share):
        self.share, self.options, self.model = share, share.settings[Stages], staged(share.model)
        self.exact = WholeGraphMode(share, halo_graph(share))
        self.owners = Owners(share.grid.world, share.own.ownership)
        self.bounds = stage_bounds(self.model.num_layers, share.grid.size)
        whole, every = open_whole(share), self.options.history_every
        self.stage = make_stage(share, whole, self.exact.graph, self.owners)
        pipe = Pipe(share.grid, overlap=bool(share.settings[Messages].overlap))
        self.line = Line(self.stage, pipe, share.task, whole, share.split_index, every)
        self.is_started = self.options.history_init == "zero"

    @property
    def exactness(self) -> str:
        """Which rows a step reads that are not those of the present parameters."""
        age = self.options.history_every
        old = f"approximate: rows up to {age} epoch{'s' * (age > 1)} old"
        return "; ".join([old, *self.exact.graph.remarks])

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the one step of an epoch, unless `first_step` says that it is done."""
        if first_step == 0:
            yield self.train(epoch)

    def train(self, epoch: int) -> StepResult:
        """All chunks forward and backward, one sum of the gradient over the stages, update."""
        loss_sum = self.gradient(epoch)
        with trace.phase("allreduce"):
            words = self.exact.step_sum(loss_sum)
        with trace.phase("update"):
            self.exact.optimizer.step()
        return StepResult(0, loss_sum, self.line.num_own_seeds, words)

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this stage's part, 0 elsewhere; the sum of own losses."""
        if not self.is_started:
            with trace.phase("history"):
                layers = exact_layers(self.model, self.exact.graph, self.share.seed, epoch)
                start_histories(self.stage, layers, self.owners, self.bounds)
            self.is_started = True
        return self.line.gradient(epoch)

    def inference(self) -> WholeInference:
        """The exact model, on all ranks alike."""
        return self.exact.inference()

    def evaluate(self) -> dict[str, list[Score]]:
        """Exact scores of the splits "val" and "test"."""
        return self.exact.evaluate()

    def state(self) -> ModeState:
        """The optimiser's moments, and historical rows by vertex, of all layers."""
        state = self.exact.state()
        state.by_vertex = saved_histories(
            self.share.grid.world, self.stage, self.owners, self.bounds
        )
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them, on any number of stages."""
        self.exact.load(state)
        if state.by_vertex:
            load_histories(self.stage, state.by_vertex, self.owners, self.bounds)
            self.is_started = True

    def counts(self) -> dict[str, float]:
        """The exact graph's."""
        return self.exact.counts()

    def totals(self) -> dict[str, object]:
        """stages: how many layers each has."""
        return {"stages": np.diff(self.bounds).tolist()}
