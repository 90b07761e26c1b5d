"""Mode temporal: an epoch walks the training events in their order, a batch a step.

Predict, then update: a batch's own events reach memories after it, with the weights from before its
step, and of each vertex the last event alone. Memories begin at zero in every epoch; validation
goes on from training, and the test from validation. arXiv:2307.07649.
"""

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from batchgnn.comm.exchange import gather_rows
from batchgnn.comm.step_sum import StepSum
from batchgnn.comm.values import values_of_all
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share, load_optimizer, optimizer_state
from batchgnn.modes.temporal.batches import TRAINING, Sampler, negative_key, training_negatives
from batchgnn.modes.temporal.check import ways_of
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.modes.temporal.ways import Ways
from batchgnn.nn.temporal import TemporalModel
from batchgnn.sampling.options import Batches
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.events import Events
from batchgnn.tasks.score import Score
from batchgnn.watch import trace

CHUNK_VERTICES = 1 << 14
"Whose memories travel at a time."


class TemporalMode:
    """Trains a model of events; every method is collective."""

    def __init__(self, share: Share):
        """Reads the whole stream; raises ConfigError where `--ways` are not the ranks."""
        self.share, self.options = share, share.settings[Timeline]
        self.model, self.task = temporal_parts(share)
        slices, _, copies = ways_of(share.settings, share.grid.size)
        self.ways = Ways(share.grid, slices, copies)
        self.stream = read_stream(share.own.whole, share.model.parameters.buffer.dtype)
        self.states = VertexStates(
            self.stream, self.model.width, self.model.parameters.buffer.dtype
        )
        self.sampler = Sampler(self.stream, self.options.recent)
        self.optimizer = share.make_optimizer()
        self.step_sum = StepSum(share.grid.world, self.model.parameters.grad)
        self.batch_size = share.settings[Batches].size
        self.num_events = len(self.stream.split("train"))
        self.num_steps = -(-self.num_events // self.batch_size)
        self.seconds, self.num_trained = 0.0, 0

    @property
    def exactness(self) -> str:
        """Slices of a batch are one batch; copies take larger steps, fewer of them."""
        copies = self.ways.copies
        return "exact" if copies == 1 else f"exact; {copies} batches a step, from {copies} places"

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the batches from `first_step` on; memories begin at zero with the first batch."""
        ways = self.ways
        for step in range(first_step, self.num_steps):
            begin = time.perf_counter()
            numbers = [ways.batch(step, self.num_steps, copy) for copy in range(ways.copies)]
            batches = list(map(self.events_of, numbers))
            count = sum(last - first for first, last in batches)
            if numbers[ways.copy] == 0:
                self.states.reset()
            loss_sum, num_events = self.gradient(epoch, *batches[ways.copy], 1 / count)
            with trace.phase("allreduce"):
                words = self.step_sum(loss_sum)
            with trace.phase("update"):
                self.optimizer.step()
            self.seconds += time.perf_counter() - begin
            self.num_trained += count
            yield StepResult(step, loss_sum, num_events, words)

    def events_of(self, batch: int) -> tuple[int, int]:
        """First and last + 1 of a batch."""
        first = batch * self.batch_size
        return first, min(first + self.batch_size, self.num_events)

    def gradient(self, epoch: int, first: int, last: int, scale: float) -> tuple[float, int]:
        """Fill `parameters.grad` by this rank's slice, and tell memories of the batch.

        scale: 1 / events of the step. Returns the sum of losses, and of how many events.
        """
        stream, states, model, ways = self.stream, self.states, self.model, self.ways
        with trace.phase("sample"):
            events = np.arange(*ways.mine(first, last))
            walk = epoch * ways.copies + ways.copy
            key = negative_key(self.share.seed, walk, TRAINING)
            others = training_negatives(stream, events, self.options.negatives, key)
            vertex = np.concatenate([stream.source[events], stream.target[events], others.ravel()])
            placed = self.sampler.place(vertex, np.tile(events, 2 + len(others)), states.mail)
        with trace.phase("forward"):
            now, remembered = model.remember(states.read(placed.member))
            ways.tell(states, first, last, now, placed.batch.root_row)
            if not len(events):
                model.parameters.grad[:] = 0
                return 0.0, 0
            rows, attended = model.attend(placed.batch, now, training=True)
        with trace.phase("backward"):
            roots = self.task.roots(self.share.own, events)
            loss_sum, drows = self.task.loss(rows, roots, scale)
            model.remember_backward(model.attend_backward(drows, attended), remembered)
        return loss_sum, len(events)

    def inference(self) -> StreamInference:
        """Scores that go on from the memories of now, or replay, as the options say."""
        several = self.ways.copies > 1
        states, ways = self._first_copy() if several else (self.states, self.ways)
        parts = self.model, self.task, states, self.sampler, ways
        return StreamInference(*parts, self.batch_size, self.options)

    def evaluate(self) -> dict[str, list[Score]]:
        """Scores of the splits "val" and "test", from the memories of the first copy on."""
        return self.share.evaluate(self.inference(), "val", "test")

    def state(self) -> ModeState:
        """Moments, and memories: by vertex, or of each copy where there are several."""
        state, held = optimizer_state(self.optimizer), self._memories()
        if self.ways.copies == 1:
            mine = self.share.own.ids.astype(np.int64)
            state.by_vertex = {name: rows[mine] for name, rows in held.items()}
        else:
            state.by_trainer, state.trainer = held, self.ways.copy
        state.scalars |= {"seconds": self.seconds, "num_trained": self.num_trained}
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them."""
        load_optimizer(self.optimizer, state)
        for name, rows in state.by_trainer.items():
            self._memories()[name][:] = rows
        if state.by_vertex:
            self._join(state.by_vertex)
        self.seconds = float(state.scalars["seconds"])
        self.num_trained = int(state.scalars["num_trained"])

    def _first_copy(self) -> tuple[VertexStates, Ways]:
        """Memories of the first copy on all ranks, which then score in slices; collective."""
        grid, states = self.share.grid, VertexStates(self.stream, self.model.width)
        counts = np.zeros(grid.size, np.int64)
        for begin in range(0, self.stream.num_vertices, CHUNK_VERTICES):
            part = slice(begin, min(begin + CHUNK_VERTICES, self.stream.num_vertices))
            counts[0] = part.stop - part.start
            for name, rows in self._memories().items():
                mine = rows[part] if grid.rank == 0 else rows[:0]
                getattr(states, name)[part] = gather_rows(grid.world, mine, counts, "memories read")
        return states, Ways(grid, grid.size, 1)

    def _memories(self) -> dict[str, np.ndarray]:
        return {name: getattr(self.states, name) for name in ("memory", "other", "mail", "before")}

    def _join(self, mine: dict[str, np.ndarray]) -> None:
        """Memories of all vertices, of which each rank has read its own."""
        world, ids = self.share.grid.world, self.share.own.ids.astype(np.int64)
        counts = np.array(values_of_all(world, len(ids)), np.int64)
        vertex = gather_rows(world, ids, counts, "memories read")
        for name, rows in self._memories().items():
            rows[vertex] = gather_rows(world, mine[name], counts, "memories read")

    def counts(self) -> dict[str, float]:
        """Training's events a second so far, without scores."""
        return {"events_per_second": round(self.num_trained / max(self.seconds, 1e-9), 1)}

    def totals(self) -> dict[str, Any]:
        """The same over all epochs, and the ways."""
        return self.counts() | {"ways": self.ways.numbers}


def temporal_parts(share: Share) -> tuple[TemporalModel, Events]:
    """The model and the task."""
    if not isinstance(share.model, TemporalModel) or not isinstance(share.task, Events):
        raise TypeError("mode temporal trains the model of events, on the task of events")
    return share.model, share.task


def replay(share: Share) -> StreamInference:
    """Scores by a trained model, of which no memories are left: they are replayed; collective."""
    model, task = temporal_parts(share)
    options, dtype = share.settings[Timeline], model.parameters.buffer.dtype
    stream = read_stream(share.own.whole, dtype)
    states, sampler = VertexStates(stream, model.width, dtype), Sampler(stream, options.recent)
    size = share.settings[Batches].size
    ways = Ways(share.grid, share.grid.size, 1)
    return StreamInference(model, task, states, sampler, ways, size, options, replays=True)
