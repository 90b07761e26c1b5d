"""Batches of events: their roots, recent neighbours, the states they need, and negatives."""

from typing import NamedTuple

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.recent import place_states, recent_neighbors
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.modes.temporal.stream import Stream
from batchgnn.nn.temporal import Batch

TRAINING, SCORING, STATIC = 0, 1, 2
"Uses of negatives."


class Placed(NamedTuple):
    """A batch, and whose states it needs: int64 (n,), -1 first."""

    batch: Batch
    member: np.ndarray


class Times(NamedTuple):
    """Vertices at times, before which so many events were.

    vertex, before  int64 (n,)
    time            (n,) of the stream's dtype
    """

    vertex: np.ndarray
    before: np.ndarray
    time: np.ndarray


def distinct(roots: Times, seen: Times) -> tuple[Times, np.ndarray, int]:
    """(all without repeats, roots first; int32: where each of both went; how many are roots)."""
    both = Times(*(np.concatenate(pair) for pair in zip(roots, seen, strict=True)))
    when = np.unique(both.time, return_inverse=True)[1]
    key = both.vertex * (1 + when.max(initial=0)) + when
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    row = np.empty(len(order), np.int32)
    row[order] = np.arange(len(order))
    first = first[order]
    num_roots = int(np.searchsorted(first, len(roots.vertex)))
    return Times(*(column[first] for column in both)), row[place], num_roots


class Sampler:
    """Recent neighbours of vertices at times."""

    def __init__(
        self, stream: Stream, recent: int, static: np.ndarray | None = None, hops: int = 1
    ):
        """recent: most of a root; static: as `static.static_rows` has it, or None."""
        self.stream, self.recent, self.static, self.hops = stream, recent, static, hops
        self.slot = np.full(stream.num_vertices, -1, np.int32)
        self.anything = None if static is None else np.zeros(stream.num_vertices, np.int64)

    def place(self, vertex: np.ndarray, event: np.ndarray, mail: np.ndarray) -> Placed:
        """Roots `vertex` at the times of `event`, int64 (R,) each.

        mail: int64 (N,), the last event that each vertex was told of
        """
        return self.place_at(
            Times(vertex, self.stream.first_at[event], self.stream.time[event]), mail
        )

    def place_at(self, roots: Times, mail: np.ndarray) -> Placed:
        """Roots at any times."""
        return self._place(roots, mail, self.hops)

    def _place(self, roots: Times, mail: np.ndarray, hops: int) -> Placed:
        other, met = self._met(roots)
        span = (roots.time[:, None] - self.stream.time[met]).astype(np.float64)
        if hops > 1:
            return self._above(roots, other, met, span, mail, hops)
        num_roots = len(roots.vertex)
        root_row, neighbor_row = np.empty(num_roots, np.int32), np.empty(met.shape, np.int32)
        member = np.empty(1 + num_roots * (self.recent + 1), np.int64)
        told = mail if self.anything is None else self.anything  # each vertex has its own row
        num_queries, count = place_states(
            roots.vertex, other, told, self.slot, root_row, neighbor_row, member
        )
        static = None if self.static is None else np.take(self.static, member[:count], axis=0)
        rest = span, self.stream.features, num_queries, static
        return Placed(Batch(root_row, neighbor_row, met, *rest), member[:count])

    def _above(
        self,
        roots: Times,
        other: np.ndarray,
        met: np.ndarray,
        span: np.ndarray,
        mail: np.ndarray,
        hops: int,
    ) -> Placed:
        """Over a hop of the roots, and of those whom they met, when they met."""
        stream, there = self.stream, other >= 0
        event = met[there]
        seen = Times(other[there], stream.first_at[event], stream.time[event])
        wanted, row, num_queries = distinct(roots, seen)
        below = self._place(wanted, mail, hops - 1)
        neighbor_row = np.full(met.shape, -1, np.int32)
        root_row, neighbor_row[there] = np.split(row, [len(roots.vertex)])
        rest = span, stream.features, num_queries, None, below.batch
        return Placed(Batch(root_row, neighbor_row, met, *rest), below.member)

    def _met(self, roots: Times) -> tuple[np.ndarray, np.ndarray]:
        """(whom (R, K), in which event): int64, newest first, -1 where there are fewer."""
        stream, shape = self.stream, (len(roots.vertex), self.recent)
        other, met = np.empty(shape, np.int64), np.empty(shape, np.int64)
        entries = stream.indptr, stream.other, stream.event
        recent_neighbors(*entries, roots.vertex, roots.before, other, met)
        return other, met

    def rows_of(self, vertex: np.ndarray, mail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row of each root, members) without neighbours: for memories that are only kept up."""
        nobody = np.empty((len(vertex), 0), np.int64)
        row, member = np.empty(len(vertex), np.int32), np.empty(1 + len(vertex), np.int64)
        none = np.empty(nobody.shape, np.int32)
        _, count = place_states(vertex, nobody, mail, self.slot, row, none, member)
        return row, member[:count]


def training_negatives(
    stream: Stream, events: np.ndarray, count: int, key: np.uint64
) -> np.ndarray:
    """int64 (count, B): vertices drawn for each event among all targets, by key and event."""
    return stream.destinations[_drawn(events, count, key, len(stream.destinations))]


def scoring_negatives(stream: Stream, events: np.ndarray, count: int) -> np.ndarray:
    """int64 (count, B): alike, but the same in every run, and never the event's target."""
    key = negative_key(0, 0, SCORING)
    place = _drawn(events, count, key, max(len(stream.destinations) - 1, 1))
    place += place >= stream.place[stream.target[events]]
    return stream.destinations[np.minimum(place, len(stream.destinations) - 1)]


def negative_key(seed: int, epoch: int, use: int) -> np.uint64:
    """The stream of one use of negatives."""
    return np.uint64(stream_key(seed, int(Purpose.NEGATIVES), epoch, 0, use))


def _drawn(events: np.ndarray, count: int, key: np.uint64, size: int) -> np.ndarray:
    """int64 (count, B): uniform below `size`, by key, event and number."""
    ident = (events[None, :] * count + np.arange(count)[:, None]).astype(np.uint64)
    bits = np.empty(ident.size, np.uint64)
    fill_draws(key, ident.ravel(), bits)
    return (
        ((bits >> np.uint64(32)) * np.uint64(size) >> np.uint64(32))
        .astype(np.int64)
        .reshape(ident.shape)
    )
