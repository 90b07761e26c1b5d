"""The stream as training walks it: events in order, each vertex's own events, what can be met."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.store.event_stream import EventStream
from batchgnn.store.seeds import SPLITS
from batchgnn.store.shard_store import ShardStore


@dataclass(frozen=True, eq=False)
class Stream:
    """Columns of all events, and the entries of all vertices; vertices are shard-store ids.

    source, target        int64 (E,)
    time                  int64 or float64 (E,), ascending
    first_at              int64 (E,)  the first event of the same time
    features              float (E, d_e)
    indptr, other, event  entries of each vertex in the order of events: whom it met, and when
    ends                  name of a split -> first event behind it
    destinations          int64 (T,)  vertices that are targets of some event, in the user's order
    place                 int64 (N,)  where a vertex stands among them, -1 = nowhere
    original              int64 (N,)  rows of the graph store
    name                  int64 or bytes (N,)  the user's ids
    """

    source: np.ndarray
    target: np.ndarray
    time: np.ndarray
    first_at: np.ndarray
    features: np.ndarray
    indptr: np.ndarray
    other: np.ndarray
    event: np.ndarray
    ends: dict[str, int]
    destinations: np.ndarray
    place: np.ndarray
    original: np.ndarray
    name: np.ndarray

    @property
    def num_vertices(self) -> int:
        """N."""
        return len(self.indptr) - 1

    def split(self, name: str) -> range:
        """The events of a part."""
        names = list(SPLITS)
        k = names.index(name)
        return range(self.ends[names[k - 1]] if k else 0, self.ends[name])

    def is_new(self, name: str) -> np.ndarray:
        """bool: which events of a part have an end that no training event has."""
        known = np.zeros(self.num_vertices, bool)
        trained, part = (slice(each.start, each.stop) for each in map(self.split, ("train", name)))
        known[self.source[trained]] = known[self.target[trained]] = True
        return ~(known[self.source[part]] & known[self.target[part]])


def read_stream(store: ShardStore, dtype: DTypeLike = np.float32) -> Stream:
    """The stream of a whole shard store, in memory; dtype: of features."""
    stream = EventStream(store)
    shards = [store.shard(s) for s in range(store.manifest.num_shards)]
    features = stream.features()
    time, num_events = stream.time, stream.num_events
    degrees = np.concatenate([np.diff(shard.in_indptr) for shard in shards])
    original = np.concatenate([shard.original_id for shard in shards])
    target = stream.target.astype(np.int64)
    met = np.unique(target)
    destinations = met[np.argsort(original[met])]
    place = np.full(len(original), -1, np.int64)
    place[destinations] = np.arange(len(destinations))
    return Stream(
        source=stream.source.astype(np.int64),
        target=target,
        time=time,
        first_at=np.searchsorted(time, time, side="left"),
        features=np.empty((num_events, 0), dtype) if features is None else features.astype(dtype),
        indptr=np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64),
        other=np.concatenate([shard.in_indices for shard in shards]),
        event=np.concatenate([shard.event_id for shard in shards]),
        ends={
            name: int(np.searchsorted(stream.split, value, side="right"))
            for name, value in SPLITS.items()
        },
        destinations=destinations,
        place=place,
        original=original.astype(np.int64),
        name=np.concatenate([s.original_id if s.name is None else s.name for s in shards]),
    )
