"""Slots of an epoch: what a stage computes of one chunk, forward or backward, and when.

Chunk t of the order passes stage s in slot t + s: of C chunks and S stages C + S - 1 slots each
way, of which a stage is idle in S - 1. That share of them is the bubble.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from batchgnn.watch import trace

FORWARD, BACKWARD = "chunk forward", "chunk backward"


def num_slots(num_chunks: int, num_stages: int) -> int:
    """Each way."""
    return num_chunks + num_stages - 1


def bubble(num_chunks: int, each_way: int) -> float:
    """The share of the slots in which a layer has nothing to do."""
    return 1 - num_chunks / each_way


class Slots:
    """The slots of this rank's stage, as phases with their numbers in the timeline.

    idle  share of the last passage, from the first slot's wait to the last one's end, in none
    """

    def __init__(self) -> None:
        self.idle = self._busy_s = 0.0

    @contextmanager
    def passage(self) -> Iterator[None]:
        """All slots of an epoch."""
        begin, self._busy_s = time.perf_counter(), 0.0
        yield
        self.idle = 1 - self._busy_s / (time.perf_counter() - begin)

    @contextmanager
    def slot(self, name: str, number: int, **about: int) -> Iterator[None]:
        """FORWARD or BACKWARD, in a slot from 0; about: which chunk, where it is one."""
        begin = time.perf_counter()
        with trace.phase(name, slot=number, **about):
            yield
        self._busy_s += time.perf_counter() - begin
