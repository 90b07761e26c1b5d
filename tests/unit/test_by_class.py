"""Scores of each class: the best model's, in result.json, for Python and in the report."""

from types import SimpleNamespace

import numpy as np
import pytest
from runs import make_run, page_of

from batchgnn.run.by_class import by_class_entry, class_scores
from batchgnn.tasks.regression import Regression

COUNTS = np.array([[3, 0, 0], [4, 0, 2], [6, 5, 0]])
"Found, given and have, of three classes."


def test_a_class_that_nobody_was_given_or_has_lacks_that_score():
    scores = class_scores(["a", "b", "c"], COUNTS)
    wanted = {"precision": 0.75, "recall": 0.5, "f1": 0.6, "vertices": 6, "predicted": 4}
    assert scores["a"] == pytest.approx(wanted)
    assert np.isnan(scores["b"]["precision"])
    assert (scores["b"]["recall"], scores["b"]["f1"]) == (0, 0)
    assert np.isnan(scores["c"]["recall"])
    assert scores["c"]["precision"] == 0


def a_share(count):
    """One whose task counts classes by `count(parameters)`."""
    parameters = SimpleNamespace(buffer=np.zeros(2))
    task = SimpleNamespace(class_counts=count and (lambda *_: count(parameters.buffer)))
    return SimpleNamespace(
        task=task, table=None, own=None, grid=SimpleNamespace(world=None),
        model=SimpleNamespace(parameters=parameters),
        manifest=SimpleNamespace(class_names=["a", "b", "c"]),
        rows_of=lambda split: {split: np.ones(3, bool)},
    )  # fmt: skip


def test_classes_are_counted_by_the_best_parameters():
    mode, seen = SimpleNamespace(inference=lambda: None), []

    def count(parameters):
        seen.append(parameters.tolist())
        return COUNTS

    best = np.array([1.0, 2.0])
    assert list(by_class_entry(a_share(count), mode, best)["class_scores"]) == ["a", "b", "c"]
    assert seen == [[1.0, 2.0]]
    without_test = a_share(lambda _: np.zeros_like(COUNTS))
    assert by_class_entry(without_test, mode, best) == {}


def test_a_task_without_classes_has_no_inference_made_for_it():
    assert Regression.class_counts is None
    assert by_class_entry(a_share(None), None, np.zeros(2)) == {}


def test_the_report_has_the_classes_by_how_frequent_they_are(tmp_path):
    make_run(tmp_path / "few")
    each = {f"class {n}": {"vertices": n % 50, "recall": 0.5} for n in range(60)}
    make_run(tmp_path / "many", class_scores=each)
    make_run(tmp_path / "none", class_scores={})
    page = page_of(tmp_path / "few", tmp_path / "many", tmp_path / "none")
    few = page.tables["Scores of classes of few"]
    assert list(few.rows) == ["<dogs>", "cats"]
    assert few.rows["cats"] == [20, 30, 0.5, 0.75, 0.6]
    assert few.texts["<dogs>"] == ["30", "0", "-", "0", "0"]
    many = page.tables["Scores of classes of many"].column("test vertices")
    assert len(many) == 40
    assert min(many.values()) == 10
    assert "the 40 most frequent of 60 classes" in page.words()
    assert "Scores of classes of none" not in page.tables
