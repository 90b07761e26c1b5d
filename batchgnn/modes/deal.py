"""How the vertices of a store are dealt to ranks."""

from collections.abc import Callable
from dataclasses import dataclass

from batchgnn.graph.assign import assign_shards
from batchgnn.graph.ownership import Ownership
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import ShardStore


@dataclass(frozen=True)
class Dealt:
    """Who owns what.

    view         the store as it is dealt, of the one that is read: its "shards" may be pieces
    every_shard  whether each rank reads all shards, not its own alone
    """

    ownership: Ownership
    view: Callable[[ShardStore], ShardStore] = lambda store: store
    every_shard: bool = False


def deal_shards(store: ShardStore, num_ranks: int, settings: Settings) -> Dealt:
    """Whole shards, those with many edges between them to one rank."""
    ranks = assign_shards(store.manifest, num_ranks, store.path)
    return Dealt(Ownership(store.manifest.offset, ranks))
