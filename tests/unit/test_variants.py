"""The table of a job array: a line a run, mean and deviation over the seeds that have finished."""

import json
from statistics import mean, stdev

import pytest
import tomli_w
from runs import make_run

from batchgnn.launch.slurm_cli import SCRIPTS
from batchgnn.launch.status import status
from batchgnn.launch.variants import table_of
from batchgnn.run.run_state import read_run


@pytest.fixture
def folder(tmp_path):
    """Three seeds with one rate, the last not finished, and one run with another rate."""
    (tmp_path / SCRIPTS).mkdir()
    for n, (seed, lr, val) in enumerate([(5, 0.01, 0.5), (6, 0.01, 0.75), (7, 0.01, 1), (5, 1, 0)]):
        run = tmp_path / f"run-{n}"
        make_run(run, finished=n != 2, val_accuracy=val, test_accuracy=val / 2)
        settings = {"epochs": 5, "seed": seed, "lr": lr, "metric": "accuracy"}
        (run / "config.toml").write_text(tomli_w.dumps(settings))
    return tmp_path


def test_means_are_over_the_seeds_that_have_finished(folder):
    lines = table_of([read_run(folder / f"run-{n}") for n in range(4)])
    cells = [line.split() for line in lines]
    assert cells[0] == ["run", "seed", "lr", "epochs", "val_accuracy", "test_accuracy"]
    assert cells[1] == ["run-0", "5", "0.01", "5/5", "0.5000", "0.2500"]
    assert cells[4] == ["run-3", "5", "1", "5/5", "0.0000", "0.0000"]
    over = [0.5, 0.75]
    said = f"mean ± deviation of 2 0.01 {mean(over):.4f} ± {stdev(over):.4f} 0.3125 ± 0.0884"
    assert cells[5:] == [said.split()]


def test_status_of_an_array_ends_with_the_table(folder, capsys):
    status(folder)
    said = capsys.readouterr().out
    assert "mean ± deviation of 2" in said
    assert said.count("\nrun-") == 4


def test_runs_of_different_scores_have_columns_of_their_own(folder):
    other = folder / "run-3"
    result = json.loads((other / "result.json").read_text())
    result |= {"metric": "rmse", "val_rmse": 2.0, "test_rmse": 3.0, "higher_is_better": False}
    (other / "result.json").write_text(json.dumps(result))
    lines = table_of([read_run(folder / f"run-{n}") for n in (0, 3)])
    assert lines[0].split()[-4:] == ["val_accuracy", "test_accuracy", "val_rmse", "test_rmse"]
    assert lines[1].split()[-4:] == ["0.5000", "0.2500", "-", "-"]
    assert lines[2].split()[-4:] == ["-", "-", "2.0000", "3.0000"]
