"""Mode pipeline: an epoch is one optimiser step over the whole graph, approximate.

Consecutive layers are stages on ranks of their own; the shards are chunks that pass them one after
another. A chunk reads rows of chunks that come after it from a history (operators/history.py).
From GNNPipe (Chen, Chen, Qian). What it adds: a history that begins with an exact pass, messages
that wait for nobody but the neighbour, aggregations that are kept for backward, because to compute
them again would read rows that have become fresh meanwhile, and a guard, which compares rows with
exact ones now and then, and lets training go on exactly where they drift apart.
"""

from collections.abc import Generator
from dataclasses import asdict, fields

from batchgnn.base import buffers
from batchgnn.comm.pipe import Pipe
from batchgnn.modes.mode import StepResult
from batchgnn.modes.options import Messages
from batchgnn.modes.pipeline.check import DEEP_AND_PLAIN, is_deep_and_plain
from batchgnn.modes.pipeline.guard import NOTHING_READ, Guard, Reading
from batchgnn.modes.pipeline.layout import layout_of
from batchgnn.modes.pipeline.line import Line
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.owners import Owners
from batchgnn.modes.pipeline.saved import load_histories, saved_histories
from batchgnn.modes.pipeline.start import (
    exact_layers,
    make_stage,
    open_shards,
    start_histories,
)
from batchgnn.modes.pipeline.told import Told, told_of_guard
from batchgnn.modes.share import Share
from batchgnn.modes.whole.halo_graph import halo_graph
from batchgnn.modes.whole.mode import WholeGraphMode, WholeInference
from batchgnn.nn.model import staged
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.watch import trace


class PipelineMode:
    """Trains layers on different ranks; every method is collective.

    exact       the same model over the whole graph, by halo operators: for what has to be exact
    line        None once training goes on exactly
    exact_from  the epoch, from 1, since which it does; 0 = it does not
    reading     the guard's last one
    """

    num_steps = 1

    def __init__(self, share: Share):
        self.share, self.options, self.model = share, share.settings[Stages], staged(share.model)
        self.exact = WholeGraphMode(share, halo_graph(share))
        layout = layout_of(share.settings, share.manifest, self.model, share.grid.size)
        self.owners = Owners(share.grid.world, share.own.ownership, layout)
        mine, every = open_shards(share, layout), self.options.history_every
        stage = make_stage(share, mine, self.exact.graph, self.owners)
        overlap = bool(share.settings[Messages].overlap)
        pipe = Pipe(share.grid, layout.ways, overlap=overlap)
        self.line: Line | None = Line(stage, pipe, share.task, mine, share.split_index, every)
        self.guard = Guard(share, self.model, self.exact, self.owners)
        self.is_started = self.options.history_init == "zero"
        self.exact_from, self.reading, self.trained = 0, NOTHING_READ, 0
        self.told = Told(share, layout, every)
        if share.is_first and is_deep_and_plain(share.settings):
            print(DEEP_AND_PLAIN, flush=True)

    @property
    def exactness(self) -> str:
        """Which rows a step reads that are not those of the present parameters."""
        age = self.options.history_every
        said = [f"approximate: rows up to {age} epoch{'s' * (age > 1)} old"]
        said += [f"exact from epoch {self.exact_from} on"] * bool(self.exact_from)
        return "; ".join([*said, *self.exact.graph.remarks])

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the one step of an epoch, unless `first_step` says that it is done."""
        if first_step == 0:
            yield self.train(epoch)

    def train(self, epoch: int) -> StepResult:
        """All chunks forward and backward, one sum of the gradient over the stages, update."""
        loss_sum, self.trained = self.gradient(epoch), epoch
        with trace.phase("allreduce"):
            words = self.exact.step_sum(loss_sum)
        with trace.phase("update"):
            self.exact.optimizer.step()
        num_seeds = self.exact.num_own_seeds if self.line is None else self.line.num_own_seeds
        return StepResult(0, loss_sum, num_seeds, words)

    def gradient(self, epoch: int) -> float:
        """Fill `parameters.grad` with this stage's part, 0 elsewhere; the sum of own losses."""
        if self.line is None:
            return self.exact.gradient(epoch)
        if not self.is_started:
            with trace.phase("history"):
                layers = exact_layers(self.model, self.exact.graph, self.share.seed, epoch)
                start_histories(self.line.stage, layers, self.owners)
            self.is_started = True
        loss_sum = self.line.gradient(epoch)
        if self.options.guard_every and (epoch + 1) % self.options.guard_every == 0:
            with trace.phase("guard"):
                self.reading = self.guard.read(epoch, self.line.rows)
            if self.reading.is_adrift:
                self._go_on_exactly()
                return self.exact.gradient(epoch)
        return loss_sum

    def _go_on_exactly(self) -> None:
        """From the epoch of the last reading on."""
        self.exact_from, self.line = self.reading.epoch, None
        buffers.release()
        if self.share.is_first:
            print(
                f"batchgnn: epoch {self.exact_from}: {self.reading}. From here on every step is "
                "exact, as in --mode fullgraph.",
                flush=True,
            )

    def inference(self) -> WholeInference:
        """The exact model, on all ranks alike."""
        return self.exact.inference()

    def evaluate(self) -> dict[str, list[Score]]:
        """Exact scores of the splits "val" and "test"."""
        return self.exact.evaluate()

    def state(self) -> ModeState:
        """The optimiser's moments, the guard's reading, and historical rows of all layers."""
        state, comm = self.exact.state(), self.share.grid.world
        state.scalars |= {"exact_from": self.exact_from}
        state.scalars |= {f"guard_{name}": value for name, value in asdict(self.reading).items()}
        if self.line is not None:
            saved = saved_histories(comm, self.line.stage, self.owners)
            state.by_vertex = saved
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them, on any number of stages."""
        self.exact.load(state)
        epoch, *read = (state.scalars[f"guard_{each.name}"] for each in fields(Reading))
        self.reading = Reading(int(epoch), *map(float, read))
        self.exact_from = int(state.scalars["exact_from"])
        if self.exact_from:
            self.line = None
        elif state.by_vertex and self.line is not None:
            load_histories(self.line.stage, state.by_vertex, self.owners)
            self.is_started = True

    def counts(self) -> dict[str, float]:
        """The exact graph's, and those of the slots, of how old rows were, and of the guard."""
        counts = self.exact.counts()
        if self.line is not None:
            counts |= self.told.epoch(self.trained, self.line, self.reading)
        return counts

    def totals(self) -> dict[str, object]:
        """Stages, slots, staleness, and the guard's last reading."""
        guard = told_of_guard(self.options.guard_every, self.reading, self.exact_from)
        return self.told.run() | {"guard": guard}
