"""Scores of pairs of vertices at given times, as if each were an event of the stream then."""

from typing import NamedTuple

import numpy as np

from batchgnn.comm.exchange import gather_rows
from batchgnn.modes.temporal.batches import Times
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.store.seeds import SPLITS


class TimedPairs(NamedTuple):
    """Sources and targets int64 (n,), and times (n,) of the stream's dtype."""

    source: np.ndarray
    target: np.ndarray
    time: np.ndarray

    def of(self, rows: np.ndarray) -> "TimedPairs":
        """Some of them."""
        return TimedPairs(*(column[rows] for column in self))


def score_pairs(found: StreamInference, pairs: TimedPairs) -> np.ndarray:
    """Logits (k, n), on every rank; collective.

    A pair is scored with the batch that its time falls into, before memories are told of it, by
    the events strictly before its time; behind the last event by all.
    """
    stream = found.stream
    before = np.searchsorted(stream.time, pairs.time, side="left")
    logits = np.empty((found.task.num_logits(0), len(before)), found.model.parameters.buffer.dtype)
    found.states.reset()

    def score(first: int, last: int) -> None:
        rows = np.flatnonzero((before >= first) & (before < last))
        if len(rows):
            logits[:, rows] = _logits(found, pairs.of(rows), before[rows])

    for name in SPLITS:
        for first, last in found.batches(name):
            score(first, last)
            found.tell(first, last)
    score(len(stream.time), len(stream.time) + 1)
    return logits


def _logits(found: StreamInference, pairs: TimedPairs, before: np.ndarray) -> np.ndarray:
    """Logits (k, n) by the memories of now; ranks share the pairs."""
    ways, states = found.ways, found.states
    bounds = ways.bounds(0, len(before))
    mine = np.arange(bounds[ways.part], bounds[ways.part + 1])
    part, count = pairs.of(mine), len(mine)
    ends = np.concatenate([part.source, part.target])
    twice = np.tile(mine, 2)
    roots = Times(ends, before[twice], pairs.time[twice])
    placed = found.sampler.place_at(roots, states.mail)
    now, _ = found.model.remember(states.read(placed.member).mails(found.stream))
    logits = np.empty((0, found.task.num_logits(0)), now.dtype)
    if count:
        rows, _ = found.model.attend(placed.batch, now, training=False)
        logits = found.task.logits(rows, count)[0].T
    return gather_rows(ways.comm, np.ascontiguousarray(logits), np.diff(bounds), "scores").T
