"""The whole stream of events of a shard store, read from the runs that its shards have."""

from functools import cached_property

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.store.shard_store import ShardStore


class EventStream:
    """Columns over all events, in memory, each read when it is first asked for.

    Vertices are shard-store ids.
    """

    def __init__(self, store: ShardStore):
        """`store`: of a stream of events; raises StoreError for another."""
        if store.manifest.events is None:
            raise StoreError(
                f"{store.path} has edges without time: needed shards of a stream of events, which "
                "batchgnn data convert events makes"
            )
        self.store, self.spec = store, store.manifest.events
        self.num_events = self.spec.num_events

    @cached_property
    def source(self) -> np.ndarray:
        """Ids (E,)."""
        return self._column("event_source")

    @cached_property
    def target(self) -> np.ndarray:
        """Ids (E,)."""
        return self._column("event_target")

    @cached_property
    def time(self) -> np.ndarray:
        """int64 or float64 (E,), ascending."""
        return self._column("event_time")

    @cached_property
    def split(self) -> np.ndarray:
        """uint8 (E,): 1 train, then 2 validation, then 3 test."""
        return self._column("event_split")

    @cached_property
    def label(self) -> np.ndarray | None:
        """int32 (E,), -1 = none; None where the stream has no labels."""
        return self._column("event_label") if self.spec.has_label else None

    def features(self) -> np.ndarray | None:
        """float32 or float16 (E, D), or None."""
        return self._column("event_features") if self.spec.num_features else None

    def _column(self, name: str) -> np.ndarray:
        shards = map(self.store.shard, range(self.store.manifest.num_shards))
        return np.concatenate([getattr(shard, name) for shard in shards])
