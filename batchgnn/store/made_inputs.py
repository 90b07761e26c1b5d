"""Shards whose features are made in place of the stored ones, for graphs that have none.

Whoever reads a shard reads them as features: no mode knows of it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from batchgnn.store.shard_store import Manifest, Shard, ShardStore


def constant(shard: Shard) -> np.ndarray:
    """float32 (n, 1): ones."""
    return np.ones((shard.num_vertices, 1), np.float32)


def log_degree(shard: Shard) -> np.ndarray:
    """float32 (n, 1): log(1 + in-edges), not standardised: it says the same in any graph or cut."""
    return np.log1p(shard.degree_in).astype(np.float32)[:, None]


MADE: dict[str, Callable[[Shard], np.ndarray]] = {"constant": constant, "degree": log_degree}
"The columns that there are."


def manifest_of_made(manifest: Manifest, width: int) -> Manifest:
    """The manifest of shards whose features are `width` columns that were made."""
    options = {k: v for k, v in manifest.options.items() if k != "features_rounded_from"}
    kind = np.dtype(np.float32)
    return replace(manifest, num_features=width, feature_dtype=kind, options=options)


class MadeInputs(ShardStore):
    """A shard store, or pieces of one, with made columns as features."""

    def __init__(self, store: ShardStore, width: int, make: Callable[[Shard], np.ndarray]):
        """store: an open one; make: float32 (n, width) of a shard."""
        self.store, self.make = store, make
        self.path, self.manifest = store.path, manifest_of_made(store.manifest, width)
        self.whole = self if store.whole is store else MadeInputs(store.whole, width, make)

    def shard(self, s: int) -> Shard:
        """Map shard s. Raises StoreError as `ShardStore.shard`."""
        shard = self.store.shard(s)
        return replace(shard, features=self.make(shard))
