"""Regression as a task: its losses, what has no label, its scores, and which of them is better."""

import math

import numpy as np
import pytest
from checks import assert_gradient

from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.run.training_state import TrainingState
from batchgnn.tasks.regression import Regression, make_regression, number_scores
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Roots

LABELS = np.array([1, np.nan, -2, 0.5], np.float32)
ROOTS = Roots(np.arange(4), LABELS, 4)
ROWS = np.array([[0.5], [7.0], [-2.25], [2.0]])


@pytest.mark.parametrize(
    ("loss", "total", "slopes"),
    [("mse", 0.25 + 0.0625 + 2.25, [-1, 0, -0.5, 3]), ("mae", 0.5 + 0.25 + 1.5, [-1, 0, -1, 1])],
)
def test_a_loss_is_its_formula_and_vertices_without_a_number_count_for_nothing(loss, total, slopes):
    task = Regression("rmse", loss)
    found, gradient = task.loss(ROWS, ROOTS, 0.25)
    assert found == total
    np.testing.assert_array_equal(gradient[:, 0], 0.25 * np.array(slopes))
    rng = np.random.default_rng(0)
    assert_gradient(lambda: 0.25 * task.loss(ROWS, ROOTS, 0.25)[0], ROWS, gradient, rng)


def test_settings_choose_the_loss_and_the_score(comm):
    settings = resolved(settings_of(loss="mae", metric="r2", fanouts=(3, 3, 3)), "regression")
    task = make_regression(settings)
    assert task.metric == "r2"
    assert task.loss(ROWS, ROOTS, 1.0).sum == 2.25
    names = [each.name for each in task.score(comm, ROWS, LABELS)]
    assert names == ["r2", "rmse", "mae"]


def test_a_constant_prediction_of_the_mean_has_r2_of_0(comm):
    labels = np.array([1, 2, 6], np.float32)
    scores = number_scores(comm, np.full(3, 3.0), labels)
    found = {each.name: each.value for each in scores}
    assert found == pytest.approx({"rmse": math.sqrt(14 / 3), "mae": 2, "r2": 0}, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [("rmse", [2.0, 1.5, 1.5, 1.75], 2), ("mae", [1.0, 2.0], 1), ("r2", [0.1, 0.5, -3.0], 2)],
)
def test_the_best_epoch_is_the_first_with_the_best_score(name, values, best):
    state = TrainingState(np.zeros(1))
    for epoch, value in enumerate(values):
        state.epoch = epoch
        state.offer({"val": [Score(name, value)], "test": []}, np.array([float(epoch)]))
    assert (state.best_epoch, state.best_parameters[0]) == (best, best - 1)
    assert state.best == {f"val_{name}": values[best - 1]}
    assert state.stale_evaluations == len(values) - best
