"""What a slot of ranks has read of memories, and trains on for as many steps as there are slots.

Each of those steps has negatives of its own; what all need is read at once, before any is trained.
"""

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.modes.temporal.batches import (
    TRAINING,
    Placed,
    Sampler,
    negative_key,
    training_negatives,
)
from batchgnn.modes.temporal.schedule import Turn
from batchgnn.modes.temporal.states import NONE, Reading, VertexStates
from batchgnn.modes.temporal.ways import Ways
from batchgnn.nn.temporal import Mails

ABSENT = -2


class Slot:
    """Batches of this rank's slice, placed for each age, and what was read for them."""

    def __init__(
        self, sampler: Sampler, states: VertexStates, ways: Ways, seed: int, negatives: int
    ):
        """negatives: of an event, at a time."""
        self.sampler, self.states, self.ways = sampler, states, ways
        self.seed, self.negatives = seed, negatives
        self.placed: list[Placed] = []
        self.reading: Reading | None = None

    def read(self, epoch: int, turn: Turn | None) -> None:
        """Take a new batch, where there is a turn; collective over the copy."""
        if turn is None:
            self.states.read(np.empty(0, np.int64))
            return
        self.placed = self._place(epoch, turn, self.states.mail)
        member = self.placed[0].member
        if len(self.placed) > 1:
            member = np.unique(np.concatenate([each.member for each in self.placed]))
        self.reading = self.states.read(member)

    def batch(self, epoch: int, turn: Turn) -> tuple[Placed, Mails]:
        """What is trained on in a turn."""
        if self.reading is None:
            raise ValueError("a batch has to be read before it is trained on")
        if not self.placed:  # after a resume
            mail = np.full(self.sampler.stream.num_vertices, NONE, np.int64)
            known = self.reading.vertex >= 0
            mail[self.reading.vertex[known]] = self.reading.mail[known]
            self.placed = self._place(epoch, turn, mail)
        placed = self.placed[turn.age]
        reading = self.reading if len(self.placed) == 1 else self.reading.of(placed.member)
        return placed, reading.mails(self.sampler.stream)

    def _place(self, epoch: int, turn: Turn, mail: np.ndarray) -> list[Placed]:
        """This slice with the negatives of each age."""
        stream, ways = self.sampler.stream, self.ways
        events = np.arange(*ways.mine(turn.first, turn.last))
        ends = [stream.source[events], stream.target[events]]
        found = []
        for age in range(ways.ahead):
            walk = (epoch * ways.copies + ways.copy) * ways.ahead + age
            key = negative_key(self.seed, walk, TRAINING)
            others = training_negatives(stream, events, self.negatives, key)
            vertex = np.concatenate([*ends, others.ravel()])
            found.append(self.sampler.place(vertex, np.tile(events, 2 + len(others)), mail))
        return found

    def capacity(self, batch_size: int) -> int:
        """Most vertices of a reading."""
        roots = -(-batch_size // self.ways.slices) * (2 + self.ways.ahead * self.negatives)
        met = roots * (1 + self.sampler.recent) ** self.sampler.hops
        return 1 + min(met, self.sampler.stream.num_vertices)

    def arrays(self, capacity: int, width: int, dtype: DTypeLike) -> dict[str, np.ndarray]:
        """The reading by name, as in a checkpoint: as many rows at any time; width: of memories."""
        out = {
            "read_vertex": np.full(capacity, ABSENT, np.int64),
            "read_memories": np.zeros((capacity, width), dtype),
            "read_mail": np.full(capacity, NONE, np.int64),
            "read_before": np.full(capacity, NONE, np.int64),
        }
        if self.reading is not None:
            for kept, column in zip(out.values(), self.reading, strict=True):
                kept[: len(column)] = column
        return out

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from them."""
        columns = [arrays[f"read_{name}"] for name in Reading._fields]
        self.placed, self.reading = [], Reading(*(c[columns[0] > ABSENT] for c in columns))
