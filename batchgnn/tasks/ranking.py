"""Scores of predicted events: average precision, and ranks among negatives with ties named."""

import numpy as np


def average_precision(values: np.ndarray, positive: np.ndarray) -> float:
    """Sum over distinct values, from the highest, of (gain in recall) x precision; nan without any.

    As scikit-learn has it: rows of one value are taken together.
    values  float (n,); positive  bool (n,)
    """
    if not positive.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    hits = np.cumsum(positive[order])[ends]
    gains = np.diff(hits, prepend=0)
    return float((gains * hits / (ends + 1)).sum() / hits[-1])


def area(values: np.ndarray, positive: np.ndarray) -> float:
    """ROC-AUC: chance that a positive row is above a negative one, ties half; nan without both."""
    order = np.sort(values[~positive])
    wins = np.searchsorted(order, values[positive], "left")
    ties = np.searchsorted(order, values[positive], "right") - wins
    pairs = len(order) * int(positive.sum())
    return float((wins.sum() + ties.sum() / 2) / pairs) if pairs else float("nan")


def reciprocal_ranks(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / rank of the first of each column: by the mean rank among ties, and by the worst.

    logits  float (1 + n, B): the positive above its n negatives
    Returns two float64 (B,): 1 / (1 + above + equal / 2), as TGB has it; 1 / (1 + above + equal).
    """
    above = (logits[1:] > logits[0]).sum(axis=0)
    equal = (logits[1:] == logits[0]).sum(axis=0)
    return 1 / (1 + above + equal / 2), 1 / (1 + above + equal)
