"""Which score chooses a run's best epoch, which way is better, and what `batchgnn status` says."""

import json

import pytest
from runs import lines_of, make_run, write_lines

from batchgnn.launch.slurm_cli import SCRIPTS
from batchgnn.launch.status import run_lines, status
from batchgnn.run.run_scores import RunScores, best_runs, say_number
from batchgnn.run.run_state import read_run


def scores(*values, result=None, settings=None):
    """Of a run with these validation errors."""
    lines = [{"epoch": n, "val_rmse": value} for n, value in enumerate(values, start=1)]
    return RunScores(settings or {}, result or {}, lines)


def test_the_score_that_chooses_is_said_by_the_result_then_the_settings_then_the_lines():
    settings, result = {"metric": "mae"}, {"metric": "r2"}
    assert scores(1.0, result=result, settings=settings).names == ["r2", "rmse"]
    assert scores(1.0, settings=settings).names == ["mae", "rmse"]
    assert scores(1.0).metric == "rmse"
    assert scores().metric is None


def test_the_first_of_equally_good_epochs_is_the_best():
    assert scores(3.0, 2.0, None, 2.0).best_epoch == 2
    assert scores(3.0, 2.0, 3.0, result={"higher_is_better": True}).best_epoch == 1
    assert scores(None).best_epoch is None
    assert scores(None).at_best("val") is None


def test_the_best_run_is_by_the_direction_and_needs_another_to_be_better_than():
    assert best_runs([scores(3.0), scores(2.0), scores(None)]) == [1]
    assert best_runs([scores(3.0)]) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0.0000"), (0.8125, "0.8125"), (-1234.5, "-1,234.5000"), (1.234e-5, "1.234e-05"),
     (2.5e9, "2.5e+09")],
)  # fmt: skip
def test_numbers_of_any_size_keep_four_digits(value, said):
    assert say_number(value) == said


# status


def test_status_of_a_finished_regression_names_its_score(tmp_path):
    make_run(tmp_path / "run", scores=("rmse", "mae"), val_rmse=0.25, test_rmse=0.5)
    first, last, best = run_lines(read_run(tmp_path / "run"))
    assert first.endswith("finished; test rmse 0.5 at the best epoch, 4")
    assert "val_rmse 0.8200, test_rmse 0.8100, val_mae 0.8200" in last
    assert best == "  best: val_rmse 0.2500 in epoch 4 (lower is better)"


def test_status_of_a_run_under_way_says_the_best_so_far(tmp_path):
    make_run(tmp_path / "run", scores=("rmse",), finished=False)
    assert run_lines(read_run(tmp_path / "run"))[-1] == (
        "  best: val_rmse 0.1000 in epoch 1 (lower is better)"
    )


def test_status_of_a_run_that_diverged_says_what_is_there(tmp_path):
    make_run(tmp_path / "run", scores=("rmse",), finished=False)
    gone = {"loss": None, "val_rmse": None, "test_rmse": None}
    write_lines(tmp_path / "run", [line | gone for line in lines_of(tmp_path / "run")])
    said = run_lines(read_run(tmp_path / "run"))
    assert said[1:] == ["  epoch 5: loss -, 1.2 s"]


@pytest.mark.parametrize(("name", "best"), [("rmse", 1), ("roc-auc", 2)])
def test_status_of_a_job_array_says_which_run_is_the_best(tmp_path, capsys, name, best):
    (tmp_path / SCRIPTS).mkdir()
    for n, value in enumerate((0.5, 0.25, 0.75)):
        make_run(tmp_path / f"run-{n}", scores=(name,), **{f"val_{name}": value})
    status(tmp_path)
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(f"best of these runs: {tmp_path / f'run-{best}'}, val_{name} ")


def test_the_epochs_of_a_run_whose_settings_are_in_tables_are_known(tmp_path):
    run = tmp_path / "run"
    make_run(run, num_epochs=2, finished=False)
    (run / "config.toml").write_text('mode = "macrobatch"\n[run]\nepochs = 12\n')
    assert read_run(run).settings == {"mode": "macrobatch", "epochs": 12}
    assert "2 of 12 epochs are done" in run_lines(read_run(run))[0]


def test_a_result_that_says_nothing_of_a_direction_is_of_accuracy(tmp_path):
    make_run(tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    del result["higher_is_better"]
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    assert read_run(tmp_path / "run").scores.higher_is_better
