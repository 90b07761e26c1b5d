"""What a seed is: a training vertex that has a label. The one definition, for all that count them.

The loss of a step is divided by its seeds, so that whoever draws them, counts them or balances them
over shards has to mean the same.
"""

import numpy as np

from batchgnn.store.labels import NOT_KNOWN

SPLITS = {"train": 1, "val": 2, "test": 3}
"Values of `vertex/split`; 0 is none of them."
TRAIN = SPLITS["train"]


def has_label(label: np.ndarray) -> np.ndarray:
    """bool (n,): integers (n,), -1 = none; floats (n,), NaN = none; 0/1 (n, C): one is known."""
    if label.ndim == 2:
        return (label != NOT_KNOWN).any(axis=1)
    return np.isfinite(label) if label.dtype.kind == "f" else label >= 0


def is_seed(label: np.ndarray, split: np.ndarray) -> np.ndarray:
    """bool (n, R): the training vertices that have a label, per split; split: uint8 (n, R)."""
    return (split == TRAIN) & has_label(label)[:, None]
