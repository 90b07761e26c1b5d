"""Mode temporal: an epoch walks the training events in their order, a batch a step.

Predict, then update: a batch's own events reach memories after it, with the weights from before its
step, and of each vertex the last event alone. Memories begin at zero in every epoch; validation
goes on from training, and the test from validation. `schedule.py` says who trains on which batch.
arXiv:2307.07649.
"""

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Comm
from batchgnn.comm.step_sum import StepSum
from batchgnn.comm.vertex_rows import make_rows
from batchgnn.graph.missing import missing_updates
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share, load_optimizer, optimizer_state
from batchgnn.modes.temporal.batches import Sampler
from batchgnn.modes.temporal.check import ways_of
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.published import (
    PublishedNegatives,
    negatives_file,
    num_trained_negatives,
)
from batchgnn.modes.temporal.schedule import Schedule
from batchgnn.modes.temporal.slot import Slot
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.static import static_rows
from batchgnn.modes.temporal.stream import Stream, read_stream
from batchgnn.modes.temporal.ways import Ways
from batchgnn.nn.options import States
from batchgnn.nn.temporal import TemporalModel
from batchgnn.sampling.options import Batches
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.tasks.stream import StreamTask
from batchgnn.watch import trace


class TemporalMode:
    """Trains a model of events; every method is collective."""

    def __init__(self, share: Share):
        """Reads the whole stream; raises ConfigError where `--ways` are not the ranks."""
        self.share = share
        self.model, self.task = temporal_parts(share)
        self.ways = ways = Ways(share.grid, *ways_of(share.settings, share.grid.size))
        self.dtype = share.model.parameters.buffer.dtype
        self.stream = read_stream(share.own.whole, self.dtype)
        self.states = self._states(ways.comm)
        self._scored: VertexStates | None = None
        self.published = read_negatives(share, self.stream)
        self.sampler = make_sampler(share, self.stream)
        self.optimizer = share.make_optimizer(frozen=self._frozen())
        self.step_sum = StepSum(share.grid.world, self.model.parameters.grad)
        self.batch_size = share.settings[Batches].size
        num_events = len(self.stream.split("train"))
        self.schedule = Schedule(num_events, self.batch_size, ways.ahead, ways.copies)
        negatives = num_trained_negatives(share.settings)
        self.slot = Slot(self.sampler, self.states, ways, share.seed, negatives)
        self.seconds, self.num_trained = 0.0, 0

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return self.schedule.num_steps

    @property
    def exactness(self) -> str:
        """Slices of a batch are one batch; slots and copies take larger steps, fewer of them."""
        several = self.ways.ahead * self.ways.copies
        return "exact" if several == 1 else f"exact; {several} batches a step"

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the batches from `first_step` on; memories begin at zero with the first batch."""
        for step in range(first_step, self.num_steps):
            begin = time.perf_counter()
            loss_sum, num_events = self.gradient(epoch, step)
            with trace.phase("allreduce"):
                words = self.step_sum(loss_sum)
            with trace.phase("update"):
                self.optimizer.step()
            self.seconds += time.perf_counter() - begin
            self.num_trained += self.schedule.count(step)
            yield StepResult(step, loss_sum, num_events, words)

    def gradient(self, epoch: int, step: int) -> tuple[float, int]:
        """Fill `parameters.grad` by this rank's slice, and tell memories of the step's batch.

        Returns the sum of losses, and of how many events.
        """
        ways, model, schedule = self.ways, self.model, self.schedule
        told = schedule.told(step, ways.copy)
        turn = schedule.turn(step, ways.copy, ways.slot)
        if told is not None:
            with trace.phase("sample"):
                if told.first == 0:
                    self.states.reset()
                self.slot.read(epoch, turn if ways.slot == schedule.active(step) else None)
        now, row = np.empty((0, model.width), self.dtype), np.empty(0, np.int32)
        with trace.phase("forward"):
            if turn is not None:
                placed, mails = self.slot.batch(epoch, turn)
                now, remembered = model.remember(mails)
                row = placed.batch.state_row
            if told is not None:
                ways.tell(self.states, told.first, told.last, now, row, schedule.active(step))
            if turn is None or not len(row):
                model.parameters.grad[:] = 0
                return 0.0, 0
            rows, attended = model.attend(placed.batch, now, training=self.task.trains_model)
        with trace.phase("backward"):
            events = np.arange(*ways.mine(turn.first, turn.last))
            roots = self.task.roots(self.share.own, events)
            loss_sum, drows = self.task.loss(rows, roots, 1 / schedule.count(step))
            if self.task.trains_model:  # else its gradient stays 0
                model.remember_backward(model.attend_backward(drows, attended), remembered)
        return loss_sum, len(events)

    def inference(self) -> StreamInference:
        """Scores that go on from the memories of now, or replay, as the options say."""
        ways, states = self.ways, self.states
        if ways.copies > 1:
            states = self._first_copy()
        if ways.copies * ways.ahead > 1:
            ways = Ways(self.share.grid, self.share.grid.size)
        parts = self.model, self.task, states, self.sampler, ways
        rest = self.batch_size, self.share.settings, self.published
        return StreamInference(*parts, *rest)

    def evaluate(self) -> dict[str, list[Score]]:
        """Scores of the splits "val" and "test", from the memories of the first copy on."""
        return self.share.evaluate(self.inference(), "val", "test")

    def state(self) -> ModeState:
        """Moments, and memories: by vertex, or of each copy where there are several."""
        state, ways = optimizer_state(self.optimizer), self.ways
        held = self.states.arrays(self._vertices())
        if ways.copies == 1:
            state.by_vertex = held
        else:
            state.by_trainer = held
        if ways.copies * ways.ahead > 1:
            state.trainer = self.share.grid.rank
        if ways.ahead > 1:
            capacity = self.slot.capacity(self.batch_size)
            state.by_trainer |= self.slot.arrays(capacity, 2 * self.model.width, self.dtype)
        state.scalars |= {"seconds": self.seconds, "num_trained": self.num_trained}
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them."""
        load_optimizer(self.optimizer, state)
        self.states.load(self._vertices(), state.by_vertex or state.by_trainer)
        if self.ways.ahead > 1:
            self.slot.load(state.by_trainer)
        self.seconds = float(state.scalars["seconds"])
        self.num_trained = int(state.scalars["num_trained"])

    def _frozen(self) -> list[str]:
        """Parameters that are not moved: the model's, where the task takes its rows as they are."""
        head = self.task.head()
        return [n for n in self.model.parameters if n not in head and not self.task.trains_model]

    def _vertices(self) -> np.ndarray:
        """Those that this rank saves: its own, or of each copy an equal part."""
        if self.ways.copies == 1:
            return self.share.own.ids.astype(np.int64)
        return np.arange(self.ways.comm.rank, self.stream.num_vertices, self.ways.comm.size)

    def _states(self, comm: Comm) -> VertexStates:
        """Of the ranks of `comm`; collective over them."""
        return make_states(self.share, self.stream, comm)

    def _first_copy(self) -> VertexStates:
        """Memories of the first copy, of which all ranks have a part; collective."""
        world, ways = self.share.grid.world, self.ways
        if self._scored is None:
            self._scored = self._states(world)
        mine = self._vertices()[: None if ways.copy == 0 else 0]
        held = self.states.arrays(mine)
        self._scored.load(mine, held)
        return self._scored

    def counts(self) -> dict[str, float]:
        """Nothing: the loop counts the events."""
        return {}

    def totals(self) -> dict[str, Any]:
        """Events a second over all epochs, the ways, what batches lose, what the task tells."""
        trained, stream = self.stream.split("train").stop, self.stream
        ends = stream.source[:trained], stream.target[:trained]
        lost = missing_updates(*ends, stream.num_vertices, self.batch_size)
        return {
            "events_per_second": round(self.num_trained / max(self.seconds, 1e-9), 1),
            "ways": self.ways.numbers,
            "updates_lost": round(lost, 4),
            **self.task.totals(),
        }


def temporal_parts(share: Share) -> tuple[TemporalModel, StreamTask]:
    """The model and the task."""
    if not isinstance(share.model, TemporalModel) or not isinstance(share.task, StreamTask):
        raise TypeError("mode temporal trains the model of events, on tasks of events")
    return share.model, share.task


def replay(share: Share) -> StreamInference:
    """Scores by a trained model, of which no memories are left: they are replayed; collective."""
    model, task = temporal_parts(share)
    settings, dtype = share.settings, model.parameters.buffer.dtype
    stream = read_stream(share.own.whole, dtype)
    states = make_states(share, stream, share.grid.world)
    sampler, size = make_sampler(share, stream), settings[Batches].size
    ways = Ways(share.grid, share.grid.size)
    parts = model, task, states, sampler, ways, size, settings, read_negatives(share, stream)
    return StreamInference(*parts, replays=True)


def read_negatives(share: Share, stream: Stream) -> PublishedNegatives | None:
    """Those of a file, if there is one; collective, raises ConfigError."""
    path = negatives_file(share.settings)
    with fail_together(share.grid.world, "--eval-negatives-file"):
        return None if path is None else PublishedNegatives(path, stream)


def make_sampler(share: Share, stream: Stream) -> Sampler:
    """With what is known of vertices at any time; collective, raises ConfigError."""
    options, width = share.settings[Timeline], share.model.widths[-1]
    with fail_together(share.grid.world, "--static"):
        static = static_rows(stream, options.static, width, share.seed)
    return Sampler(stream, options.recent, static, share.settings[States].state_layers)


def make_states(share: Share, stream: Stream, comm: Comm) -> VertexStates:
    """Memories that the ranks of `comm` have together; collective over them."""
    model, where = share.model, share.settings[Timeline].state_rows
    width, dtype = 2 * model.widths[-1], model.parameters.buffer.dtype
    shape = stream.num_vertices, width, dtype
    return VertexStates(stream, make_rows(share.grid, comm, *shape, where))
