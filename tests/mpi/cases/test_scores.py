"""Scores of rows spread unevenly over ranks equal those of all rows on one."""

import numpy as np
import pytest
from mpi4py import MPI

from batchgnn.tasks.class_scores import class_score


@pytest.mark.parametrize("metric", ["accuracy", "micro-f1", "macro-f1", "roc-auc"])
@pytest.mark.parametrize("kind", ["two classes", "five classes", "multi-label"])
def test_scores_do_not_depend_on_who_holds_the_rows(comm, metric, kind):
    rng = np.random.default_rng(3)
    classes = 2 if kind == "two classes" else 5
    labels = rng.integers(0, classes, 200).astype(np.int32)
    logits = (rng.normal(size=(200, classes)) + np.eye(classes)[labels]).round(1)
    logits = logits.astype(np.float32)
    if kind == "multi-label":
        labels = (rng.random((200, classes)) < 0.3).astype(np.uint8)
        if metric == "accuracy":
            pytest.skip("accuracy is for one label per vertex")
    owner = (comm.size * rng.random(200) ** 3).astype(int)  # the last ranks hold few rows, or none
    mine = owner == comm.rank
    expected = class_score(MPI.COMM_SELF, logits, labels, metric)
    assert class_score(comm, logits[mine], labels[mine], metric) == pytest.approx(expected, rel=1e-12)
