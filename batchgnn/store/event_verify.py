"""What must hold between the datasets of a stream of events, in a graph store and in shards."""

from collections.abc import Iterator

import numpy as np

from batchgnn.kernels.stream import sum_incidences
from batchgnn.store.shard_store import Manifest, Shard

KEY = np.uint64(0x5EED)


def stream_claims(
    time: np.ndarray, split: np.ndarray, before: tuple[float, int] | None
) -> Iterator[tuple[str, np.ndarray]]:
    """(dataset, whether each of its rows is good) of consecutive events.

    before: time and split of the event ahead of them; None: there is none
    """
    ahead = (time[:1], split[:1]) if before is None else ([before[0]], [before[1]])
    rises = np.diff(time, prepend=np.asarray(ahead[0], time.dtype)) >= 0
    yield "event/time", np.isfinite(time) & rises
    later = np.diff(split.astype(np.int8), prepend=np.asarray(ahead[1], np.int8)) >= 0
    yield "event/split", (split >= 1) & (split <= 3) & later


class StreamCheck:
    """What must hold of the events of all shards, shown one shard after the other."""

    def __init__(self, manifest: Manifest):
        """Nothing was shown yet."""
        self.manifest = manifest
        self.before: tuple[float, int] | None = None
        self.sums = [np.uint64(0), np.uint64(0)]

    def claims(self, shard: Shard) -> Iterator[tuple[str, bool]]:
        """(claim, whether it holds) of a shard of events; nothing of another."""
        event, source, target = shard.event_id, shard.event_source, shard.event_target
        time, split = shard.event_time, shard.event_split
        if event is None or source is None or target is None or time is None or split is None:
            return
        for name, ids in (("source", source), ("target", target)):
            below = np.less(ids, self.manifest.num_vertices)
            yield f"event/{name}: below num_vertices", bool(np.all(below))
        for name, good in stream_claims(time, split, self.before):
            yield f"{name}: in the order of the stream", bool(good.all())
        if len(source):
            self.before = time[-1], int(split[-1])
        if shard.event_features is not None:
            yield "event/features: finite", bool(np.isfinite(shard.event_features).all())
        falls = np.flatnonzero(np.diff(event) <= 0) + 1
        yield "event/id: ascending within a row", bool(np.isin(falls, shard.in_indptr).all())
        self._add(shard, event, source, target)

    def _add(
        self, shard: Shard, event_of_row: np.ndarray, source: np.ndarray, target: np.ndarray
    ) -> None:
        """Sum hashes of who met whom: as the stream has it, and as the rows have it."""
        run = self.manifest.event_run(shard.shard)
        event = np.arange(run.start, run.stop)
        back = source != target  # a vertex with itself has one entry
        row = shard.first_vertex + np.repeat(np.arange(shard.num_vertices), shard.degree_in)
        with np.errstate(over="ignore"):
            self.sums[0] += np.uint64(sum_incidences(KEY, event, source, target))
            self.sums[0] += np.uint64(sum_incidences(KEY, event[back], target[back], source[back]))
            self.sums[1] += np.uint64(sum_incidences(KEY, event_of_row, row, shard.in_indices))

    @property
    def agrees(self) -> bool:
        """Whether rows and stream tell of the same events (but for a chance of 2^-64)."""
        return bool(self.sums[0] == self.sums[1])
