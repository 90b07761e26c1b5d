"""Slots of an epoch: what a stage computes of one chunk, forward or backward, and when.

Chunk t of the order passes stage s in slot t + s: of C chunks and S stages C + S - 1 slots each
way, of which a stage is idle in S - 1. That share of them is the bubble. Slots of unequal length
leave a stage more idle time; messages, and whoever else uses the processor, the rest of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from batchgnn.watch import trace

FORWARD, BACKWARD = "chunk forward", "chunk backward"
WAYS = FORWARD, BACKWARD


def num_slots(num_chunks: int, num_stages: int) -> int:
    """Each way."""
    return num_chunks + num_stages - 1


def least_idle(lengths: np.ndarray) -> float:
    """The share of a passage in which stages are in no slot, were messages there at once.

    lengths: (S, 2, slots each way), of each stage, forward and backward; 0 where it has none. A
    slot begins when the one before has ended there and in the stage whose rows it takes. With
    lengths of 1 for C chunks it is the bubble, (S - 1)/(C + S - 1).
    """
    passage = _ended(lengths[:, 0]) + _ended(lengths[::-1, 1])
    return float(1 - lengths.sum(axis=(1, 2)).mean() / passage) if passage else 0.0


def _ended(lengths: np.ndarray) -> float:
    """When the last slot of all stages has; (S, slots), in the order in which rows pass them."""
    ends = np.zeros(len(lengths) + 1)  # before the first stage is none to wait for
    for slot in lengths.T:
        ends[1:] = np.maximum(ends[1:], ends[:-1]) + slot
    return float(ends.max())


class Slots:
    """The slots of this rank's stage, as phases with their numbers in the timeline.

    seconds    float64 (2, slots each way): in the last passage, forward and backward
    passage_s  its length, from the first slot's wait on
    """

    def __init__(self, each_way: int) -> None:
        self.seconds, self.passage_s = np.zeros((len(WAYS), each_way)), 0.0

    @contextmanager
    def passage(self) -> Iterator[None]:
        """All slots of an epoch."""
        begin = time.perf_counter()
        self.seconds[:] = 0
        yield
        self.passage_s = time.perf_counter() - begin

    @contextmanager
    def slot(self, name: str, number: int, **about: int) -> Iterator[None]:
        """FORWARD or BACKWARD, in a slot from 0; about: which chunk, where it is one."""
        begin = time.perf_counter()
        with trace.phase(name, slot=number, **about):
            yield
        self.seconds[WAYS.index(name), number] = time.perf_counter() - begin
