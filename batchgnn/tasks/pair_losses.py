"""Losses of a positive among its negatives: of logits, and their gradients.

Logits are float (1 + n, B): a positive above its n negatives, for each of B seeds; -inf where there
is no negative. Each loss is (the sum over seeds, its gradient), float64.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit

PairLoss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def softmax_loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of the first row among all, summed over columns, and its gradient."""
    shifted = logits.astype(np.float64) - logits.max(axis=0)
    share = np.exp(shifted)
    total = share.sum(axis=0)
    loss = float((np.log(total) - shifted[0]).sum())
    share /= total
    share[0] -= 1
    return loss, share


def binary_loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
    """-log sigmoid of the first row, plus the mean of -log(1 - sigmoid) of the others."""
    x = logits.astype(np.float64)
    num_negatives = _num_negatives(x)
    loss = np.logaddexp(0, -x[0]).sum() + (np.logaddexp(0, x[1:]) / num_negatives).sum()
    slope = expit(x)
    slope[0] -= 1
    slope[1:] /= num_negatives
    return float(loss), slope


def ranking_loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean over negatives of -log sigmoid(positive - negative).

    Bayesian personalised ranking, Rendle et al., UAI 2009 (arXiv:1205.2618), eq. 4.
    """
    x = logits.astype(np.float64)
    num_negatives = _num_negatives(x)
    below = x[1:] - x[0]
    loss = float((np.logaddexp(0, below) / num_negatives).sum())
    slope = np.empty_like(x)
    slope[1:] = expit(below) / num_negatives
    slope[0] = -slope[1:].sum(axis=0)
    return loss, slope


def _num_negatives(logits: np.ndarray) -> np.ndarray:
    """int64 (B,): of each seed; 1 where there is none, whose loss is 0."""
    return np.maximum((logits[1:] != -np.inf).sum(axis=0), 1)


PAIR_LOSSES: Mapping[str, PairLoss] = {
    "bce": binary_loss,
    "softmax": softmax_loss,
    "bpr": ranking_loss,
}
