"""Scores of rows spread unevenly over ranks equal those of all rows on one."""

import numpy as np
import pytest
from mpi4py import MPI

from batchgnn.tasks.class_scores import class_counts, class_score
from batchgnn.tasks.regression import number_scores


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
    assert class_score(comm, logits[mine], labels[mine], metric) == pytest.approx(
        expected, rel=1e-12
    )


def test_counts_of_classes_are_those_of_all_rows(comm):
    rng = np.random.default_rng(5)
    mine = (comm.size * rng.random(200) ** 3).astype(int) == comm.rank
    logits = rng.normal(size=(200, 4)).astype(np.float32)
    label = rng.integers(-1, 4, 200).astype(np.int32)
    known, given = label >= 0, logits.argmax(axis=1)
    given, has = (np.equal.outer(each, range(4)) & known[:, None] for each in (given, label))
    wanted = [(given & has).sum(axis=0), given.sum(axis=0), has.sum(axis=0)]
    np.testing.assert_array_equal(class_counts(comm, logits[mine], label[mine]), wanted)
    several = rng.integers(0, 3, (200, 4)).astype(np.uint8)  # 2 = not known
    given, has = (logits > 0) & (several < 2), several == 1
    wanted = [(given & has).sum(axis=0), given.sum(axis=0), has.sum(axis=0)]
    np.testing.assert_array_equal(class_counts(comm, logits[mine], several[mine]), wanted)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_scores_of_numbers_are_those_of_all_rows_on_one_rank(comm, offset):
    """Also far from 0, where the spread is a small difference of large sums."""
    rng = np.random.default_rng(4)
    labels = (offset + rng.normal(size=200)).astype(np.float32)
    predicted = (labels + 0.5 * rng.normal(size=200)).astype(np.float32)
    labels[::7] = np.nan
    mine = (comm.size * rng.random(200) ** 3).astype(int) == comm.rank
    found = {each.name: each.value for each in number_scores(comm, predicted[mine], labels[mine])}
    known = np.isfinite(labels)
    label, error = labels[known].astype(np.float64), (predicted - labels)[known].astype(np.float64)
    wanted = {
        "rmse": np.sqrt(np.mean(error**2)),
        "mae": np.mean(abs(error)),
        "r2": 1 - np.sum(error**2) / np.sum((label - label.mean()) ** 2),
    }
    assert found == pytest.approx(wanted, rel=1e-6)


def test_numbers_without_labels_or_without_spread_have_no_score(comm):
    nothing = np.full(3, np.nan, np.float32)
    assert all(np.isnan(each.value) for each in number_scores(comm, np.ones(3), nothing))
    rmse, mae, r2 = number_scores(comm, np.full(3, 4.0), np.full(3, 2.0, np.float32))
    assert (rmse.value, mae.value) == (2, 2)
    assert np.isnan(r2.value)
