"""Scores over one rank against scikit-learn; tests/mpi/cases/test_scores.py splits the rows."""

import numpy as np
import pytest
from mpi4py import MPI
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from batchgnn.tasks.class_scores import class_score
from batchgnn.tasks.ordered import auc

COMM = MPI.COMM_SELF
pytestmark = pytest.mark.usefixtures("comm")  # which starts MPI


def rows(num_rows=300, num_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_rows).astype(np.int32)
    logits = rng.normal(size=(num_rows, num_classes)) + np.eye(num_classes)[labels]
    return logits.round(1).astype(np.float32), labels  # rounded, so that there are ties


@pytest.mark.parametrize("metric", ["accuracy", "micro-f1", "macro-f1"])
def test_single_label_scores_are_sklearns(metric):
    logits, labels = rows()
    predicted = logits.argmax(axis=1)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "micro-f1": f1_score(labels, predicted, average="micro"),
        "macro-f1": f1_score(labels, predicted, average="macro"),
    }
    assert class_score(COMM, logits, labels, metric) == pytest.approx(expected[metric], rel=1e-12)


@pytest.mark.parametrize("metric", ["micro-f1", "macro-f1"])
def test_multi_label_f1_is_sklearns(metric):
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 4)) < [0.1, 0.5, 0.9, 0.3]).astype(np.uint8)
    logits = (labels - 0.5 + rng.normal(size=labels.shape)).astype(np.float32)
    expected = f1_score(labels, logits > 0, average=metric[:5])
    assert class_score(COMM, logits, labels, metric) == pytest.approx(expected, rel=1e-12)


def test_auc_is_sklearns_with_ties_and_signs():
    logits, labels = rows(num_classes=2)
    logits[:4] = [[0.0, -0.0], [-0.0, 0.0], [0, 0], [3, 3]]
    expected = roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    assert class_score(COMM, logits, labels, "roc-auc") == pytest.approx(expected, rel=1e-12)
    several, labels = rows()
    expected = roc_auc_score(np.eye(5)[labels], several, average="macro")
    assert class_score(COMM, several, labels, "roc-auc") == pytest.approx(expected, rel=1e-12)


def test_constant_scores_have_auc_one_half():
    assert auc(COMM, np.zeros(10, np.float32), np.arange(10) < 3) == 0.5


def test_unlabelled_rows_do_not_count():
    logits, labels = rows(20)
    labels[:7] = -1
    expected = accuracy_score(labels[7:], logits[7:].argmax(axis=1))
    assert class_score(COMM, logits, labels, "accuracy") == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["roc-auc", "micro-f1", "macro-f1"])
def test_labels_that_are_not_known_do_not_count(metric):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 4)).astype(np.uint8)
    logits = (labels - 0.5 + rng.normal(size=labels.shape)).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = 255
    known = labels <= 1
    of_class = [(labels[k, c], logits[k, c]) for c, k in enumerate(known.T)]
    expected = {
        "roc-auc": np.mean([roc_auc_score(*each) for each in of_class]),
        "micro-f1": f1_score(labels[known], logits[known] > 0),
        "macro-f1": np.mean([f1_score(true, z > 0) for true, z in of_class]),
    }
    assert class_score(COMM, logits, labels, metric) == pytest.approx(expected[metric], rel=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1", "roc-auc"])
def test_no_rows_score_nan(metric):
    assert np.isnan(class_score(COMM, np.empty((0, 3), np.float32), np.empty(0, np.int32), metric))
