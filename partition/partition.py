"""The whole way from a graph store to a shard store."""

from pathlib import Path

from batchgnn.partition.random_shards import random_shards
from batchgnn.partition.source import GraphSource
from batchgnn.partition.write import write_shards
from batchgnn.store.shard_store import Manifest


def partition(
    graph: GraphSource,
    shards_path: Path,
    method: str = "random",
    num_shards: int = 1,
    seed: int = 0,
) -> Manifest:
    """Cut `graph` into `num_shards` shards by `method` and write the shard store."""
    shard = random_shards(graph.num_vertices, num_shards, seed)
    return write_shards(graph, shards_path, shard, num_shards=num_shards, method=method, seed=seed)
