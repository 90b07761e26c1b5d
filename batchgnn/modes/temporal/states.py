"""What vertices remember: rows by vertex, read by one batch after the other, and written."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.kernels.recent import last_updates
from batchgnn.modes.temporal.stream import Stream
from batchgnn.nn.temporal import Mails

NONE = -1


class Update(NamedTuple):
    """Whose memory becomes what, after a batch; of a batch's roots: sources, then targets.

    vertex      int64 (k,)  distinct
    own, other  int64 (k,)  the root that it is, and the one that it met
    """

    vertex: np.ndarray
    own: np.ndarray
    other: np.ndarray


class VertexStates:
    """Memories of all vertices, zeros at first.

    memory  float (N, d)  the state after the event before the last
    other   float (N, d)  that of whom it met in the last event
    mail    int64 (N,)    the last event, which is computed with when the vertex is read; -1 = none
    before  int64 (N,)    the event that its memory knows of; -1 = none
    """

    def __init__(self, stream: Stream, width: int, dtype: DTypeLike = np.float32):
        self.stream = stream
        self.memory = np.zeros((stream.num_vertices, width), dtype)
        self.other = np.zeros_like(self.memory)
        self.mail = np.full(stream.num_vertices, NONE, np.int64)
        self.before = np.full(stream.num_vertices, NONE, np.int64)

    def reset(self) -> None:
        """Forget everything."""
        self.memory[:], self.other[:] = 0, 0
        self.mail[:], self.before[:] = NONE, NONE

    def read(self, member: np.ndarray) -> Mails:
        """Mails of some vertices, int64 (n,); the first, -1, stands for all without one."""
        stream, width = self.stream, self.memory.shape[1]
        memory, other = (np.empty((len(member), width), self.memory.dtype) for _ in "mo")
        features = np.empty((len(member), stream.features.shape[1]), self.memory.dtype)
        for out in (memory, other, features):
            out[0] = 0
        rest = member[1:]
        mail, before = self.mail[rest], self.before[rest]
        np.take(self.memory, rest, axis=0, out=memory[1:])
        np.take(self.other, rest, axis=0, out=other[1:])
        np.take(stream.features, mail, axis=0, out=features[1:])
        begin = np.where(before < 0, 0, before)  # before the first of all there is no time
        span = np.zeros(len(member))
        span[1:] = stream.time[mail] - stream.time[begin]
        return Mails(memory, other, features, span)

    def tell(self, first: int, last: int) -> Update:
        """Make events first .. last - 1 the last ones of their vertices; memories are to follow."""
        source, target = self.stream.source[first:last], self.stream.target[first:last]
        vertex, own, other = (np.empty(2 * len(source), np.int64) for _ in "voo")
        count = last_updates(source, target, first, self.mail, self.before, vertex, own, other)
        return Update(vertex[:count], own[:count], other[:count])
