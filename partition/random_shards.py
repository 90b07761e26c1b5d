"""Random shards: every vertex draws its shard. No locality, the best balance, no memory."""

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key


def random_shards(num_vertices: int, num_shards: int, seed: int) -> np.ndarray:
    """int32 (N,): a shard for each vertex; sizes differ by at most one.

    Vertices are ranked by a keyed draw and dealt out in turn, so that the result depends on the
    seed and the vertex's number alone.
    """
    key = np.uint64(stream_key(seed, Purpose.PARTITION, 0, 0, 0))  # Numba hands out a Python int
    draws = np.empty(num_vertices, np.uint64)
    fill_draws(key, np.arange(num_vertices), draws)
    shard = np.empty(num_vertices, np.int32)
    shard[np.argsort(draws, kind="stable")] = np.arange(num_vertices) % num_shards
    return shard
