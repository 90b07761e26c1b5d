"""Scores of predictions over all ranks: what is sent are counts, or one class's scores, sorted.

Nothing gathers all predictions on one rank. The ROC-AUC is exact: scores are dealt to the ranks by
value, each counts the pairs within its range, and pairs across ranges follow from the counts.
"""

import numpy as np

from batchgnn.comm.exchange import allreduce_sum, exchange_counts, exchange_parts
from batchgnn.comm.grid import Comm

NUM_BUCKETS = 1 << 16


def class_score(comm: Comm, logits: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """A score over the given rows of all ranks; collective.

    logits float32 (n, C); labels int32 (n,) (-1 = none) or uint8 (n, C) (above 1 = not known)
    metric "accuracy", "micro-f1", "macro-f1" or "roc-auc"; nan when no row counts
    """
    if labels.ndim == 1:
        keep = labels >= 0
        logits, labels = logits[keep], labels[keep]
    if metric == "roc-auc":
        return _mean_auc(comm, logits, labels)
    num_classes = logits.shape[1]
    if labels.ndim == 1:
        predicted = logits.argmax(axis=1)
        hit = labels[predicted == labels]
        counts = [np.bincount(x, minlength=num_classes) for x in (hit, predicted, labels)]
    else:
        positive = (logits > 0) & (labels <= 1)
        true = labels == 1
        counts = [x.sum(axis=0) for x in (positive & true, positive, true)]
    total = np.array(counts, np.int64)
    allreduce_sum(comm, total, "score counts")
    hits, predicted, actual = total
    if metric == "macro-f1":
        with np.errstate(invalid="ignore"):
            f1 = np.nan_to_num(2 * hits / (predicted + actual))
        return float(f1[actual + predicted > 0].mean()) if actual.sum() else float("nan")
    both = predicted.sum() + actual.sum()
    return float(2 * hits.sum() / both) if both else float("nan")


def _mean_auc(comm: Comm, logits: np.ndarray, labels: np.ndarray) -> float:
    """AUC of class 1 for two classes, else the mean over classes that have both kinds of rows."""
    if labels.ndim == 1 and logits.shape[1] == 2:
        return auc(comm, logits[:, 1] - logits[:, 0], labels == 1)
    classes = range(logits.shape[1])
    if labels.ndim == 2:
        known = labels <= 1
        columns = [(logits[known[:, c], c], labels[known[:, c], c] == 1) for c in classes]
    else:
        columns = [(logits[:, c], labels == c) for c in classes]
    each = np.array([auc(comm, values, positive) for values, positive in columns])
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def auc(comm: Comm, values: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive row scores above a negative one, ties counting half; exact.

    values float32 (n,), positive bool (n,): the rows of this rank. nan without both kinds.
    """
    key = _ordered_bits(values)
    bucket = (key >> np.uint32(16)).astype(np.int64)
    counts = np.zeros((2, NUM_BUCKETS), np.int64)
    for kind in (0, 1):
        counts[kind] = np.bincount(bucket[positive == kind], minlength=NUM_BUCKETS)
    allreduce_sum(comm, counts, "score histogram")
    num_negative, num_positive = counts.sum(axis=1)
    if not num_negative or not num_positive:
        return float("nan")
    before = np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0)
    rank_of_bucket = before * comm.size // int(counts.sum())
    key, positive = _deal(comm, key, positive, rank_of_bucket[bucket])
    mine = rank_of_bucket == comm.rank
    below = int(counts[0][: np.argmax(mine)].sum()) if mine.any() else 0
    wins = np.array([_pairs_won(key, positive, below)])
    allreduce_sum(comm, wins, "score pairs")
    return float(wins[0] / num_positive / num_negative)


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


def _pairs_won(key: np.ndarray, positive: np.ndarray, below: int) -> float:
    """Pairs (positive here, any negative) in which the positive is above; ties count half.

    below: negatives on ranks that hold smaller values
    """
    unique, inverse = np.unique(key, return_inverse=True)
    negatives = np.bincount(inverse[~positive], minlength=len(unique))
    positives = np.bincount(inverse[positive], minlength=len(unique))
    smaller = np.cumsum(negatives) - negatives
    return float((positives * (below + smaller + negatives / 2)).sum())
