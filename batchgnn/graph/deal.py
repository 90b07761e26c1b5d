"""Which trainer of several has which shards: drawn, as many each, up to one."""

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key


def deal_shards_to(num_shards: int, trainers: int, num_ranks: int, seed: int) -> np.ndarray:
    """int32 (K,): the rank of each shard. Trainers have equal numbers of shards, up to one.

    Which trainer has a shard depends on the shards, the trainers and the seed alone: trainer t has
    the ranks t W ... t W + W - 1. With one rank each, ranks are trainers.
    """
    shards, bits = np.arange(num_shards), np.empty(num_shards, np.uint64)
    fill_draws(np.uint64(stream_key(seed, Purpose.TRAINERS, 0, 0, 0)), shards, bits)
    shuffled = np.lexsort((shards, bits))
    found = np.empty(num_shards, np.int32)
    width = num_ranks // trainers
    for t, mine in enumerate(np.array_split(shuffled, trainers)):
        for way, some in enumerate(np.array_split(np.sort(mine), width)):
            found[some] = t * width + way
    return found
