"""Scores by the order of all values, over ranks: ROC-AUC and average precision, both exact.

Values are dealt to the ranks by size, so that each has all of some range, and counts how many of
either kind the others have below. Nothing gathers all values on one rank.
"""

from typing import NamedTuple

import numpy as np

from batchgnn.comm.exchange import allreduce_sum, exchange_counts, exchange_parts
from batchgnn.comm.grid import Comm

NUM_BUCKETS = 1 << 16


class Dealt(NamedTuple):
    """One rank's range of values.

    negatives, positives    int64 (k,), of each distinct value, ascending
    below                   int64 (2,), negatives and positives that others have in lower ranges
    total                   int64 (2,), of all ranks
    """

    negatives: np.ndarray
    positives: np.ndarray
    below: np.ndarray
    total: np.ndarray


def auc(comm: Comm, values: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive row scores above a negative one, ties counting half; exact.

    values float32 (n,), positive bool (n,): the rows of this rank. nan without both kinds.
    """
    dealt = deal_by_value(comm, values, positive)
    if not dealt.total.all():
        return float("nan")
    smaller = dealt.below[0] + np.cumsum(dealt.negatives) - dealt.negatives
    wins = np.array([float((dealt.positives * (smaller + dealt.negatives / 2)).sum())])
    allreduce_sum(comm, wins, "score pairs")
    return float(wins[0] / dealt.total[1] / dealt.total[0])


def precision(comm: Comm, values: np.ndarray, positive: np.ndarray) -> float:
    """Average precision, as `ranking.average_precision` has it, over the rows of all ranks.

    values float32 (n,), positive bool (n,): the rows of this rank. nan without positives.
    """
    dealt = deal_by_value(comm, values, positive)
    if not dealt.total[1]:
        return float("nan")
    each = np.stack([dealt.negatives, dealt.positives])
    from_here = dealt.total[:, None] - dealt.below[:, None] - np.cumsum(each, axis=1) + each
    gains = np.array([(dealt.positives * from_here[1] / from_here.sum(axis=0)).sum()])
    allreduce_sum(comm, gains, "score precision")
    return float(gains[0] / dealt.total[1])


def deal_by_value(comm: Comm, values: np.ndarray, positive: np.ndarray) -> Dealt:
    """Deal all ranks' rows by value; collective. Without both kinds there is nothing to deal."""
    key = _ordered_bits(values)
    bucket = (key >> np.uint32(16)).astype(np.int64)
    counts = np.zeros((2, NUM_BUCKETS), np.int64)
    for kind in (0, 1):
        counts[kind] = np.bincount(bucket[positive == kind], minlength=NUM_BUCKETS)
    allreduce_sum(comm, counts, "score histogram")
    total, none = counts.sum(axis=1), np.zeros(0, np.int64)
    if not total.sum():
        return Dealt(none, none, np.zeros(2, np.int64), total)
    before = np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0)
    rank_of_bucket = before * comm.size // int(counts.sum())
    key, positive = _deal(comm, key, positive, rank_of_bucket[bucket])
    mine = rank_of_bucket == comm.rank
    below = counts[:, : np.argmax(mine)].sum(axis=1) if mine.any() else np.zeros(2, np.int64)
    unique, inverse = np.unique(key, return_inverse=True)
    negatives, positives = (
        np.bincount(inverse[positive == kind], minlength=len(unique)) for kind in (0, 1)
    )
    return Dealt(negatives, positives, below, total)


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    """uint32 keys in the order of the float32 values; -0.0 and 0.0 tie."""
    bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))


def _deal(
    comm: Comm, key: np.ndarray, positive: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Send each (key, kind) to its owner; this rank's share of all rows."""
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=comm.size).astype(np.int64)
    packed = key[order].astype(np.uint64) << np.uint64(1) | positive[order].astype(np.uint64)
    received = exchange_counts(comm, counts, "scores")
    out = np.empty(received.sum(), np.uint64)
    exchange_parts(comm, packed, counts, out, received, "scores")
    return out >> np.uint64(1), (out & np.uint64(1)).astype(bool)
