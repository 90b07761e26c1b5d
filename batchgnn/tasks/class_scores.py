"""Scores of predicted classes over all ranks: what is sent are counts, or one class's scores.

Nothing gathers all predictions on one rank.
"""

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.tasks.ordered import auc


def class_score(comm: Comm, logits: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """A score over the given rows of all ranks; collective.

    logits float32 (n, C); labels int32 (n,) (-1 = none) or uint8 (n, C) (above 1 = not known)
    metric "accuracy", "micro-f1", "macro-f1" or "roc-auc"; nan when no row counts
    """
    if metric == "roc-auc":
        logits, labels = _with_label(logits, labels)
        return _mean_auc(comm, logits, labels)
    hits, predicted, actual = class_counts(comm, logits, labels)
    if metric == "macro-f1":
        with np.errstate(invalid="ignore"):
            f1 = np.nan_to_num(2 * hits / (predicted + actual))
        return float(f1[actual + predicted > 0].mean()) if actual.sum() else float("nan")
    both = predicted.sum() + actual.sum()
    return float(2 * hits.sum() / both) if both else float("nan")


def class_counts(comm: Comm, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int64 (3, C): rows of each class that were found, that were given it, that have it.

    Over the given rows of all ranks, which are as `class_score` takes them; collective.
    """
    logits, labels = _with_label(logits, labels)
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
    return total


def _with_label(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have a label; of several classes any may be known, so all of them."""
    if labels.ndim == 2:
        return logits, labels
    keep = labels >= 0
    return logits[keep], labels[keep]


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
