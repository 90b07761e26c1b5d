"""Mode temporal: an epoch walks the training events in their order, a batch a step.

Predict, then update: a batch's own events reach memories after it, with the weights from before its
step, and of each vertex the last event alone. Memories begin at zero in every epoch; validation
goes on from training, and the test from validation. arXiv:2307.07649.
"""

import time
from collections.abc import Generator

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.step_sum import StepSum
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share, load_optimizer, optimizer_state
from batchgnn.modes.temporal.batches import TRAINING, Sampler, negative_key, training_negatives
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.nn.temporal import TemporalModel
from batchgnn.sampling.options import Batches
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.events import Events
from batchgnn.tasks.score import Score
from batchgnn.watch import trace


class TemporalMode:
    """Trains a model of events; every method is collective."""

    exactness = "exact"

    def __init__(self, share: Share):
        """Reads the whole stream; raises ConfigError with several ranks."""
        self.share, self.options = share, share.settings[Timeline]
        self.model, self.task = temporal_parts(share)
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

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the batches from `first_step` on; memories begin at zero with the first."""
        if first_step == 0:
            self.states.reset()
        for step in range(first_step, self.num_steps):
            begin = time.perf_counter()
            first = step * self.batch_size
            last = min(first + self.batch_size, self.num_events)
            loss_sum = self.gradient(epoch, first, last)
            with trace.phase("allreduce"):
                words = self.step_sum(loss_sum)
            with trace.phase("update"):
                self.optimizer.step()
            self.seconds += time.perf_counter() - begin
            self.num_trained += last - first
            yield StepResult(step, loss_sum, last - first, words)

    def gradient(self, epoch: int, first: int, last: int) -> float:
        """Fill `parameters.grad` by the events first .. last - 1, and tell memories of them."""
        stream, states, model = self.stream, self.states, self.model
        with trace.phase("sample"):
            events = np.arange(first, last)
            key = negative_key(self.share.seed, epoch, TRAINING)
            others = training_negatives(stream, events, self.options.negatives, key)
            vertex = np.concatenate([stream.source[events], stream.target[events], others.ravel()])
            placed = self.sampler.place(vertex, np.tile(events, 2 + len(others)), states.mail)
        with trace.phase("forward"):
            now, remembered = model.remember(states.read(placed.member))
            states.write(states.tell(first, last), now, placed.batch.root_row)
            rows, attended = model.attend(placed.batch, now, training=True)
        with trace.phase("backward"):
            roots = self.task.roots(self.share.own, events)
            loss_sum, drows = self.task.loss(rows, roots, 1 / len(events))
            model.remember_backward(model.attend_backward(drows, attended), remembered)
        return loss_sum

    def inference(self) -> StreamInference:
        """Scores that go on from the memories of now, or replay, as the options say."""
        return StreamInference(
            self.model, self.task, self.states, self.sampler, self.batch_size, self.options
        )

    def evaluate(self) -> dict[str, list[Score]]:
        """Scores of the splits "val" and "test"; memories are then behind them."""
        return self.share.evaluate(self.inference(), "val", "test")

    def state(self) -> ModeState:
        """Moments, and memories by vertex."""
        state, mine = optimizer_state(self.optimizer), self.share.own.ids.astype(np.int64)
        state.by_vertex = {
            name: getattr(self.states, name)[mine] for name in ("memory", "other", "mail", "before")
        }
        state.scalars |= {"seconds": self.seconds, "num_trained": self.num_trained}
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them."""
        load_optimizer(self.optimizer, state)
        mine = self.share.own.ids.astype(np.int64)
        for name, rows in state.by_vertex.items():
            getattr(self.states, name)[mine] = rows
        self.seconds = float(state.scalars["seconds"])
        self.num_trained = int(state.scalars["num_trained"])

    def counts(self) -> dict[str, float]:
        """Training's events a second so far, without scores."""
        return {"events_per_second": round(self.num_trained / max(self.seconds, 1e-9), 1)}

    def totals(self) -> dict[str, float]:
        """The same, over all epochs."""
        return self.counts()


def temporal_parts(share: Share) -> tuple[TemporalModel, Events]:
    """The model and the task; raises ConfigError where there are several ranks."""
    if share.grid.size > 1:
        raise ConfigError(
            f"--mode temporal trains on one rank, and {share.grid.size} were started: start one, "
            "with more --threads."
        )
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
    return StreamInference(model, task, states, sampler, size, options, replays=True)
