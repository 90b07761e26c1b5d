"""Which seeds an optimiser step trains on: the same on any number of ranks.

Each shard shuffles its own seeds; step t of T takes the t-th slice of every shard's
list. Counts over all ranks follow from the manifest, without a message.
"""

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key


class Schedule:
    """The minibatches of an epoch, as seen by the rank that owns `shard_seeds`."""

    def __init__(
        self, shard_seeds: list[np.ndarray], of_shard: np.ndarray, batch_size: int, seed: int
    ):
        """Slice the seeds of all shards into steps.

        shard_seeds: global ids of the seeds of each own shard
        of_shard: int64 (K,), how many seeds every shard of the store has
        batch_size: seeds of one step over all ranks
        """
        self.shard_seeds, self.of_shard, self.seed = shard_seeds, of_shard, seed
        self.num_steps = max(1, -(-int(of_shard.sum()) // batch_size))

    def shuffled(self, epoch: int) -> list[np.ndarray]:
        """The own shards' seeds in this epoch's order."""
        key = np.uint64(stream_key(self.seed, Purpose.SHUFFLE, epoch, 0, 0))
        lists = []
        for ids in self.shard_seeds:
            bits = np.empty(len(ids), np.uint64)
            fill_draws(key, ids, bits)
            lists.append(ids[np.lexsort((ids, bits))])
        return lists

    def own_seeds(self, shuffled: list[np.ndarray], step: int) -> np.ndarray:
        """This rank's seeds of a step, shard after shard."""
        parts = [
            ids[len(ids) * step // self.num_steps : len(ids) * (step + 1) // self.num_steps]
            for ids in shuffled
        ]
        return np.concatenate(parts)

    def num_seeds(self, step: int) -> int:
        """Seeds of a step over all ranks."""
        begin = self.of_shard * step // self.num_steps
        return int((self.of_shard * (step + 1) // self.num_steps - begin).sum())
