"""`--class-weights`: what a vertex counts in the loss by its class."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.nn.loss import weighted_softmax_loss
from batchgnn.run.session import open_session

SETTINGS = {"mode": "fullgraph", "layers": 1, "hidden": 4, "threads": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "s"
    shards_of(learnable_graph(num_vertices=90, num_classes=3), folder)
    return folder


def begun(shards, asked):
    """(the weights, how many training vertices of each class, the settings' facts)."""
    settings = settings_of(class_weights=asked, **SETTINGS)
    with open_session(shards, settings, MPI.COMM_SELF) as share:
        make_mode(share)
        label, train = share.own.label, share.own.split[:, 0] == 1
        return share.task, np.bincount(label[train & (label >= 0)], minlength=3)


def test_the_loss_and_its_gradient_count_each_row_by_its_class():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(5, 3)), np.array([0, 2, -1, 1, 2], np.int32)
    weights = np.array([0.5, 2, 0.25], np.float32)
    loss, drows = weighted_softmax_loss(rows, labels, 0.1, weights)
    p = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    known = np.flatnonzero(labels >= 0)
    each = weights[labels[known]]
    assert loss == pytest.approx(float((-np.log(p[known, labels[known]]) * each).sum()))
    expected = np.zeros_like(rows)
    expected[known] = 0.1 * each[:, None] * (p[known] - np.eye(3)[labels[known]])
    np.testing.assert_allclose(drows, expected, atol=1e-12)


def test_balanced_classes_count_the_same_together_and_vertices_1_on_average(shards):
    task, counts = begun(shards, "balanced")
    np.testing.assert_allclose(task.class_weights, counts.sum() / (3 * counts), rtol=1e-6)
    assert task.facts == {"class_weights": task.class_weights.tolist()}


def test_a_file_of_weights_is_scaled_to_1_on_average(shards, tmp_path):
    (tmp_path / "w.txt").write_text("1\n2\n0.5\n")
    np.save(tmp_path / "w.npy", [10, 20, 5])
    task, counts = begun(shards, str(tmp_path / "w.txt"))
    assert counts @ task.class_weights == pytest.approx(counts.sum())
    assert task.class_weights[1] == pytest.approx(2 * task.class_weights[0])
    other, _ = begun(shards, str(tmp_path / "w.npy"))
    np.testing.assert_allclose(other.class_weights, task.class_weights, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n2\n", "needed a number for each of the 3 classes"),
        ("1\n2\n-3\n", "weight of class 2 is -3"),
        ("0 0 0", "have weight 0"),
        ("red\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_other_files_are_refused(shards, tmp_path, text, said):
    if text is not None:
        (tmp_path / "w").write_text(text)
    with pytest.raises(ConfigError, match=said):
        begun(shards, str(tmp_path / "w"))


def test_other_tasks_have_no_such_option():
    with pytest.raises(ConfigError, match="--class-weights"):
        settings_of(task="regression", class_weights="balanced", **SETTINGS)
