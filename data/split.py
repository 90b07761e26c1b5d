"""Splits of the vertices: random ones, of exact shares and the same for any chunking; and lists.

A vertex's part depends on the seed, its row and the number of vertices: its position in a keyed
permutation of all rows says whether it trains, validates, tests or does nothing.
"""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.base.rng import Purpose
from batchgnn.kernels.permutation import positions
from batchgnn.kernels.rng import stream_key
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION
from batchgnn.store.seeds import has_label

NUM_PARTS = 3


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise ConfigError unless these are three shares, for train, validation and test."""
    if (
        len(fractions) != NUM_PARTS
        or not all(f >= 0 for f in fractions)
        or sum(fractions) > 1 + 1e-9
    ):
        raise ConfigError(
            f"--split {' '.join(map(str, fractions))}: needed three shares of the vertices, for "
            f"train, validation and test, not negative and together at most 1: --split 0.6 0.2 0.2"
        )


def random_split(
    seed: int, num_vertices: int, fractions: Sequence[float], first: int, labels: np.ndarray
) -> np.ndarray:
    """uint8 (k,): the part of rows first .. first + k - 1.

    fractions  of train, validation and test among all `num_vertices`; the rest is in no part
    labels     (k,) or (k, C) of these rows; a vertex without label is in no part
    """
    check_fractions(fractions)
    place = np.empty(len(labels), np.int64)
    key = np.uint64(stream_key(seed, Purpose.SPLIT, 0, 0, 0))
    positions(key, num_vertices, first, place)
    ends = np.round(np.cumsum(fractions) * num_vertices).astype(np.int64)
    parts = np.array([TRAIN, VALIDATION, TEST, NONE], np.uint8)
    split = parts[np.searchsorted(ends, place, side="right")]
    split[~has_label(labels)] = NONE
    return split


def first_again(split: np.ndarray, ids: np.ndarray) -> int | None:
    """Position in `ids` of the first vertex that is in a part already, or twice in `ids`."""
    _, firsts = np.unique(ids, return_index=True)
    again = split[ids] != NONE
    again[np.setdiff1d(np.arange(len(ids)), firsts, assume_unique=True)] = True
    return int(np.argmax(again)) if again.any() else None
