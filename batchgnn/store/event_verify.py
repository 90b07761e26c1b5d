"""What must hold between the datasets of a stream of events, in a graph store and in shards."""

from collections.abc import Iterator

import numpy as np

from batchgnn.kernels.stream import sum_incidences
from batchgnn.store.events import FEATURES, LABEL, SOURCE, SPLIT, TARGET, TIME, good_rows
from batchgnn.store.shard_store import Manifest, Shard

KEY = np.uint64(0x5EED)
ALLOWED = {
    SOURCE: "below num_vertices",
    TARGET: "below num_vertices",
    TIME: "finite, ascending",
    SPLIT: "1 to 3, ascending",
    LABEL: "-1 or below num_classes",
    FEATURES: "finite",
}


class StreamCheck:
    """What must hold of the events of all shards, shown one shard after the other."""

    def __init__(self, manifest: Manifest):
        """Nothing was shown yet."""
        self.manifest = manifest
        self.ahead: dict[str, np.ndarray] = {}
        self.sums = [np.uint64(0), np.uint64(0)]

    def claims(self, shard: Shard) -> Iterator[tuple[str, bool]]:
        """(claim, whether it holds) of a shard of events; nothing of another."""
        event, source, target = shard.event_id, shard.event_source, shard.event_target
        time, split = shard.event_time, shard.event_split
        if event is None or source is None or target is None or time is None or split is None:
            return
        columns = {SOURCE: source, TARGET: target, TIME: time, SPLIT: split}
        more = {LABEL: shard.event_label, FEATURES: shard.event_features}
        columns |= {name: rows for name, rows in more.items() if rows is not None}
        for name, rows in columns.items():
            ahead = self.ahead.get(name, rows[:0])
            most = self.manifest.num_vertices, self.manifest.num_classes
            good = good_rows(name, rows, ahead, *most)
            yield f"{name}: {ALLOWED[name]}", bool(good.all())
            self.ahead[name] = rows[-1:] if len(rows) else ahead
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
