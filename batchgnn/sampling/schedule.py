"""Which seeds an optimiser step trains on: the same on any number of ranks.

Each shard shuffles its own seeds, and a step takes the next slice of every shard's list. Every step
has `batch_size` seeds, the last of an epoch what is left. How many are of which shard follows from
the manifest's counts and the step, without a message: seat h of an epoch's S goes to a shard by a
divisor method (as seats of a parliament do), so that shard k has n_k h / S of the first h seats, up
to 1 and the rounding of all; and a shard's share never shrinks as h grows.
"""

from functools import lru_cache

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key

MOST_LEVELS = 1 << 30
GOLDEN = 0.6180339887498949
"Its multiples, without their whole part, are spread evenly: neighbouring shards take turns."


class Schedule:
    """The minibatches of an epoch, as seen by the rank that owns `shard_seeds`."""

    def __init__(
        self,
        shard_seeds: list[np.ndarray],
        shards: np.ndarray,
        of_shard: np.ndarray,
        batch_size: int,
        seed: int,
    ):
        """Deal the seeds of all shards to steps.

        shard_seeds: global ids of the seeds of each own shard
        shards: numbers of the own shards
        of_shard: int64 (K,), how many seeds every shard of the store has
        batch_size: seeds of one step over all ranks
        """
        self.shard_seeds, self.shards, self.of_shard = shard_seeds, shards, of_shard
        self.batch_size, self.seed, self.total = batch_size, seed, int(of_shard.sum())
        self.num_steps = num_steps(of_shard, batch_size)
        self._before = lru_cache(maxsize=4)(self._seats_before)

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
        begin, end = self._before(step), self._before(step + 1)
        return np.concatenate([ids[a:b] for ids, a, b in zip(shuffled, begin, end, strict=True)])

    def num_seeds(self, step: int) -> int:
        """Seeds of a step over all ranks."""
        return min(self.batch_size, self.total - step * self.batch_size)

    def _seats_before(self, step: int) -> np.ndarray:
        """int64 (own shards,): of each, how many seeds the steps before this one take."""
        taken = min(step * self.batch_size, self.total)
        return seats(self.of_shard, taken)[self.shards]


def num_steps(of_shard: np.ndarray, batch_size: int) -> int:
    """Steps of an epoch; an epoch without seeds is one empty step."""
    return max(1, -(-int(of_shard.sum()) // batch_size))


def seats(of_shard: np.ndarray, num_taken: int) -> np.ndarray:
    """int64 (K,): how the first `num_taken` seeds are dealt to shards that have so many.

    Shard k has floor((n_k p + offset_k) / levels) seats at level p. The level sought is the highest
    with no more than `num_taken` in all; those of the next one are given from the first shard on.
    """
    counts = np.asarray(of_shard, np.int64)
    total = int(counts.sum())
    if num_taken == total:
        return counts
    levels = min(MOST_LEVELS, 1 << (4 * total).bit_length())
    offset = (np.arange(len(counts)) * GOLDEN % 1 * levels).astype(np.int64)

    def at(level: int) -> np.ndarray:
        return (counts * level + offset) // levels

    off = len(counts) + 1  # rounding moves the sum by less
    low = max(0, (num_taken - off) * levels // total)
    high = min(levels, (num_taken + off) * levels // total + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).sum() <= num_taken else (low, middle)
    left = num_taken - int(at(low).sum())
    more = at(high) - at(low)
    return at(low) + np.clip(left - (np.cumsum(more) - more), 0, more)


def most_seeds(of_shard: np.ndarray, shards: np.ndarray, batch_size: int) -> int:
    """How many seeds of some shards a step has at most; an upper bound."""
    mine, total = of_shard[shards], max(int(of_shard.sum()), 1)
    share = mine * (batch_size + len(of_shard)) // total + 2
    return int(min(batch_size, np.minimum(mine, share).sum()))
