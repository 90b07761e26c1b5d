"""Scores of events in the order of the stream, memories moving on as in training."""

from collections.abc import Iterator

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import gather_rows
from batchgnn.modes.temporal.batches import Sampler, scoring_negatives
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.published import PublishedNegatives, num_negatives
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.ways import Ways
from batchgnn.nn.temporal import TemporalModel
from batchgnn.settings.settings import Settings
from batchgnn.store.seeds import SPLITS
from batchgnn.tasks.stream import StreamTask

NO_VERTICES = (
    "--output embedding is of vertices, and a vertex has another embedding at every time: "
    "batchgnn evaluate RUN scores events."
)


class StreamInference:
    """The model over consecutive events, without dropout or gradients; every method is collective.

    The splits are scored in their order, by batches of training's size.
    """

    def __init__(
        self,
        model: TemporalModel,
        task: StreamTask,
        states: VertexStates,
        sampler: Sampler,
        ways: Ways,
        batch_size: int,
        settings: Settings,
        published: PublishedNegatives | None,
        *,
        replays: bool = False,
    ):
        """states: behind the training events, unless it replays; they are moved on.

        ways: whose slices score a batch together
        """
        self.ways = ways
        self.model, self.task, self.states, self.sampler = model, task, states, sampler
        self.stream, self.batch_size = states.stream, batch_size
        self.num_negatives, self.published = num_negatives(settings), published
        self.num_logits = task.num_logits(self.num_negatives)
        self.replays = replays or settings[Timeline].protocol == "replay"

    def of_splits(self, *splits: str) -> dict[str, np.ndarray]:
        """Logits (k, E) of the events of each split, as the task has them."""
        names = list(SPLITS)
        first = names.index(splits[0])
        if self.replays:
            self.states.reset()
            for name in names[:first]:
                self._walk(name, scored=False)
        end = 1 + max(map(names.index, splits))
        found = {name: self._walk(name, scored=name in splits) for name in names[first:end]}
        return {name: found[name] for name in splits}

    def is_new(self, split: str) -> np.ndarray:
        """bool (E,): which events of a split have an end that no training event has."""
        return self.stream.is_new(split)

    def _walk(self, split: str, *, scored: bool) -> np.ndarray:
        """Tell memories of a split's events, batch after batch; their logits where scored."""
        parts = []
        for first, last in self.batches(split):
            parts.append(self._score(first, last) if scored else self.tell(first, last))
        return np.concatenate(parts, axis=1) if parts else self.tell(0, 0)

    def batches(self, split: str) -> Iterator[tuple[int, int]]:
        """First and last + 1 event of each batch of a split."""
        events = self.stream.split(split)
        for first in range(events.start, events.stop, self.batch_size):
            yield first, min(first + self.batch_size, events.stop)

    def tell(self, first: int, last: int) -> np.ndarray:
        """Tell memories of some events; no scores."""
        low, high = self.ways.mine(first, last)
        ends = np.concatenate([self.stream.source[low:high], self.stream.target[low:high]])
        row, member = self.sampler.rows_of(ends, self.states.mail)
        now, _ = self.model.remember(self.states.read(member).mails(self.stream))
        self.ways.tell(self.states, first, last, now, row)
        return np.empty((self.num_logits, 0), now.dtype)

    def _score(self, first: int, last: int) -> np.ndarray:
        """Logits of some events, and tell memories of them."""
        stream, states = self.stream, self.states
        events = np.arange(*self.ways.mine(first, last))
        others = self._negatives(events)
        vertex = np.concatenate([stream.source[events], stream.target[events], others.ravel()])
        event = np.tile(events, 2 + len(others))
        placed = self.sampler.place(vertex, event, states.mail)
        now, _ = self.model.remember(states.read(placed.member).mails(stream))
        self.ways.tell(states, first, last, now, placed.batch.state_row)
        logits = np.empty((self.num_logits, 0), now.dtype)
        if len(events):
            rows, _ = self.model.attend(placed.batch, now, training=False)
            logits = self.task.logits(rows, len(events))[0]
        counts = np.diff(self.ways.bounds(first, last))
        return gather_rows(self.ways.comm, np.ascontiguousarray(logits.T), counts, "scores").T

    def _negatives(self, events: np.ndarray) -> np.ndarray:
        """int64 (n, B)."""
        published = self.published
        if published is None or (len(events) and events[0] < published.first):
            return scoring_negatives(self.stream, events, self.num_negatives)
        return published.of(events)

    def logits(self) -> np.ndarray:
        """Raises ConfigError: there are no logits of vertices."""
        raise ConfigError(NO_VERTICES)

    def rows(self, num_layers: int) -> np.ndarray:
        """Raises ConfigError: a vertex has another row at every time."""
        raise ConfigError(NO_VERTICES)
