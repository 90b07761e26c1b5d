"""What vertices remember: rows by vertex, read by one batch after the other, and written."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from batchgnn.comm.exchange import gather_rows
from batchgnn.comm.values import values_of_all
from batchgnn.comm.vertex_rows import VertexRows
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


class Reading(NamedTuple):
    """What some vertices remembered when they were read; vertex -1 stands for all without a mail.

    vertex        int64 (n,)
    memories      float (n, 2 d)  own memory | that of whom it met last; 0 of vertex -1
    mail, before  int64 (n,)      as of `VertexStates`; -1 of vertex -1
    """

    vertex: np.ndarray
    memories: np.ndarray
    mail: np.ndarray
    before: np.ndarray

    def of(self, vertex: np.ndarray) -> "Reading":
        """Of some of its vertices, which are ascending here."""
        row = np.searchsorted(self.vertex, vertex)
        return Reading(*(column[row] for column in self))

    def mails(self, stream: Stream) -> Mails:
        """What the states are made from."""
        known = self.mail >= 0
        features = np.take(stream.features, self.mail, axis=0)
        features[~known] = 0
        begin = np.where(self.before < 0, 0, self.before)  # before the first of all is no time
        span = np.where(known, stream.time[self.mail] - stream.time[begin], 0)
        return Mails(self.memories, features, span.astype(np.float64))


class VertexStates:
    """Memories of all vertices, zeros at first; every method is collective over ranks of `rows`.

    rows    of 2 d numbers: the state after the event before the last, and that of whom it met in
            the last event
    mail    int64 (N,)  the last event, which is computed with when the vertex is read; -1 = none
    before  int64 (N,)  the event that its memory knows of; -1 = none

    All ranks have mail and before.
    """

    def __init__(self, stream: Stream, rows: VertexRows):
        """rows: as `comm.vertex_rows.make_rows` makes them."""
        self.stream, self.rows = stream, rows
        self.mail = np.full(stream.num_vertices, NONE, np.int64)
        self.before = np.full(stream.num_vertices, NONE, np.int64)

    def reset(self) -> None:
        """Forget everything."""
        self.rows.reset()
        self.mail[:], self.before[:] = NONE, NONE

    def read(self, member: np.ndarray) -> Reading:
        """Of some vertices, int64 (n,)."""
        nobody = member < 0
        mail, before = self.mail[member], self.before[member]
        mail[nobody], before[nobody] = NONE, NONE
        return Reading(member, self.rows.read(member), mail, before)

    def tell(self, first: int, last: int) -> Update:
        """Make events first .. last - 1 the last ones of their vertices; rows are to follow."""
        source, target = self.stream.source[first:last], self.stream.target[first:last]
        vertex, own, other = (np.empty(2 * len(source), np.int64) for _ in "voo")
        count = last_updates(source, target, first, self.mail, self.before, vertex, own, other)
        return Update(vertex[:count], own[:count], other[:count])

    def arrays(self, vertex: np.ndarray) -> dict[str, np.ndarray]:
        """What some vertices remember, by name, as in a checkpoint."""
        own, other = np.split(self.rows.read(vertex), 2, axis=1)
        return {"memory": own, "other": other} | {
            "mail": self.mail[vertex],
            "before": self.before[vertex],
        }

    def load(self, vertex: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from them; the ranks together have each vertex once."""
        comm = self.rows.comm
        counts = np.array(values_of_all(comm, len(vertex)), np.int64)
        everyone = gather_rows(comm, vertex, counts, "memories read")
        both = np.concatenate([arrays["memory"], arrays["other"]], axis=1)
        self.rows.write(everyone, counts, both)
        for name, known in (("mail", self.mail), ("before", self.before)):
            known[everyone] = gather_rows(comm, arrays[name], counts, "memories read")
