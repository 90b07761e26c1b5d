"""The labels of each task: what dataset holds them, and which values they may have."""

import numpy as np

MULTICLASS, MULTILABEL, REGRESSION = "multiclass", "multilabel", "regression"
TASKS = (MULTICLASS, MULTILABEL, REGRESSION)
"Where vertices have labels."

EVENTS, LINKS = "events", "links"
"Of a stream of events, and of edges that are split: vertices have none."

NOT_KNOWN = 255
"Of several labels, one of which is not known whether the vertex has it: no part of loss and score."


def label_layout(task: str, n: int, num_classes: int) -> tuple[np.dtype, tuple[int, ...]]:
    """(dtype, shape) of `vertex/label` of n vertices.

    multiclass  int32 (n,), -1 = none
    multilabel  uint8 (n, num_classes), 0, 1 or `NOT_KNOWN`
    regression  float32 (n,), NaN = none
    events, links  uint8 (n, 0): there are none
    """
    if task in (EVENTS, LINKS):
        return np.dtype(np.uint8), (n, 0)
    if task == MULTILABEL:
        return np.dtype(np.uint8), (n, num_classes)
    return np.dtype(np.float32 if task == REGRESSION else np.int32), (n,)


def in_range(task: str, label: np.ndarray, num_classes: int) -> np.ndarray:
    """bool, shaped as the labels: whether each may stand in a store."""
    if task == REGRESSION:
        return ~np.isinf(label)
    if task == MULTILABEL:
        return (label == 0) | (label == 1) | (label == NOT_KNOWN)
    return (label >= -1) & (label < num_classes)
