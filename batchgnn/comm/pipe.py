"""Rows from stage to stage, and their gradients back: point to point, one message ahead.

A stage is a rank, or one in each of its ways; it talks to the one before and the one behind it
alone, and waits for nobody else. Each pair has a communicator for rows and one for gradients, both
of one direction, so that their messages are numbered alike at both ends.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base import buffers
from batchgnn.comm.background import Background
from batchgnn.comm.courier import Courier, Posted
from batchgnn.comm.grid import Comm, Grid, Ranks
from batchgnn.comm.pieces import cut, move
from batchgnn.watch import trace

AHEAD = 2
"Messages that a stage may have under way before it waits for the next stage to take one."
ROWS, GRADIENTS = "stage rows", "stage gradients"


class Pipe:
    """The links of a rank to its neighbours: rank = ways x stage + way, in the same way."""

    def __init__(self, grid: Grid, ways: int = 1, *, overlap: bool):
        """Collective. overlap: rows travel in threads of their own."""
        self.stage, way = divmod(grid.rank, ways)
        stage, self.num_stages, self.overlap = self.stage, grid.size // ways, overlap
        first = way * grid.size  # pairs of other ways have other numbers
        pairs = grid.some(first + stage // 2), grid.some(first + (stage + 1) // 2)
        self.behind = pairs[(stage + 1) % 2] if stage > 0 else None
        self.ahead = pairs[stage % 2] if stage + 1 < self.num_stages else None
        self.courier = Courier(enabled=overlap)
        self.under_way: deque[Posted[None]] = deque()

    def rows(self, counts: Sequence[int], width: int, dtype: DTypeLike) -> Background[np.ndarray]:
        """The rows that the stage before sends, in its order; counts: of rows, by message."""
        return self._arriving(_pair(self.behind).world, counts, width, dtype, ROWS)

    def gradients(
        self, counts: Sequence[int], width: int, dtype: DTypeLike
    ) -> Background[np.ndarray]:
        """The gradients that the stage behind sends back."""
        return self._arriving(_pair(self.ahead).background, counts, width, dtype, GRADIENTS)

    def send_rows(self, rows: np.ndarray) -> None:
        """To the stage behind; they are not to be changed before `finish`."""
        self._send(_pair(self.ahead).world, rows, ROWS)

    def send_gradients(self, rows: np.ndarray) -> None:
        """To the stage before; likewise."""
        self._send(_pair(self.behind).background, rows, GRADIENTS)

    def finish(self) -> None:
        """Wait until all that was sent has arrived."""
        while self.under_way:
            self.under_way.popleft().wait()

    def _send(self, comm: Comm, rows: np.ndarray, name: str) -> None:
        while len(self.under_way) >= AHEAD:
            self.under_way.popleft().wait()
        rows = np.ascontiguousarray(rows)
        self.under_way.append(self.courier.post(lambda: _send(comm, rows, name)))

    def _arriving(
        self, comm: Comm, counts: Sequence[int], width: int, dtype: DTypeLike, name: str
    ) -> Background[np.ndarray]:
        def receive(k: int) -> np.ndarray:
            rows = buffers.empty((counts[k], width), dtype)
            with trace.collective(name, comm.name):
                move(comm, {}, _to_other(comm, rows))
            return rows

        return Background(receive, len(counts), enabled=self.overlap, lane="arriving")


def _send(comm: Comm, rows: np.ndarray, name: str) -> None:
    with trace.collective(name, comm.name, rows.nbytes):
        move(comm, {other: cut(part) for other, part in _to_other(comm, rows).items()}, {})


def _to_other(comm: Comm, rows: np.ndarray) -> dict[int, np.ndarray]:
    """By the other rank of the pair; nothing where there are no rows."""
    return {1 - comm.rank: rows} if rows.size else {}


def _pair(ranks: Ranks | None) -> Ranks:
    if ranks is None:
        raise ValueError("the first stage has none before it, the last none behind it")
    return ranks
