"""README's commands work as they are printed; its two first commands are what CI runs."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from stand_ins import write_events, write_tables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TASKS = (ROOT / "docs" / "tasks.md").read_text()
RUN = [sys.executable, "-m", "batchgnn"]

MOST_LINES = 100
"Of README, two screens: a page that a user reads to the end."


def environment():
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}


def write_prices(folder, rng, num_vertices=200):
    """A number for each vertex: what its first feature is, in the mean of its group, and noise."""
    group = np.arange(num_vertices) % 2
    with (folder / "prices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", "split", "x", "y"])
        for v in range(num_vertices):
            x, y = rng.normal(size=2) + 3 * group[v]
            price = f"{2 * group[v] + 0.1 * x:.3f}"
            rows.writerow([f"v{v}", price, ("train", "val", "test")[v % 3], f"{x:.4f}", f"{y:.4f}"])


def blocks_of(language, what, text=README):
    """A page's blocks of a language that this test takes, by the comment above them."""
    marked = rf"test_readme.py {what} -->\n```{language}\n(.*?)```"
    return re.findall(marked, text, re.DOTALL)


def run_as_printed(block, folder):
    """Run each line of a block; what each command printed, by its first word."""
    said = {}
    for words in map(str.split, block.splitlines()):
        done = subprocess.run(
            [*RUN, *words[1:]], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        said[words[1]] = done.stdout
    return said


@pytest.mark.timeout(300)
def test_the_worked_example_runs_as_printed(tmp_path):
    block = blocks_of("sh", "runs the next block")[0]
    write_tables(tmp_path, np.random.default_rng(0))
    said = run_as_printed(block, tmp_path)
    assert set(said) == {
        "data", "partition", "inspect", "launch", "evaluate", "predict", "export",
        "report",
    }  # fmt: skip
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["ranks"] == 2
    assert result["test_accuracy"] > 0.85
    assert "<h2>Balance of the ranks</h2>" in (tmp_path / "run" / "report.html").read_text()
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file["probability"].shape == (200, 2)
        assert file["original_id"][7] in (b"v7", "v7")


@pytest.mark.timeout(300)
def test_the_example_with_numbers_and_a_settings_file_runs_as_printed(tmp_path):
    block = blocks_of("sh", "runs the next block", TASKS)[0]
    write_tables(tmp_path, np.random.default_rng(0))
    write_prices(tmp_path, np.random.default_rng(1))
    settings = blocks_of("toml", "writes the next block to train.toml", TASKS)[0]
    (tmp_path / "train.toml").write_text(settings)
    said = run_as_printed(block, tmp_path)["launch"]
    last = next(line for line in said.splitlines() if line.startswith("epoch 30 "))
    assert all(f"test_{score} " in last for score in ("rmse", "mae", "r2"))
    result = json.loads((tmp_path / "price-run" / "result.json").read_text())
    assert result["metric"] == "rmse"
    assert result["test_r2"] > 0.7
    with h5py.File(tmp_path / "predicted-prices.h5") as file:
        assert file["number"].shape == (200,)


@pytest.mark.timeout(300)
def test_the_example_with_events_runs_as_printed(tmp_path):
    block = blocks_of("sh", "runs the next block")[1]
    write_events(tmp_path, np.random.default_rng(0))
    scores = json.loads(run_as_printed(block, tmp_path)["evaluate"])
    names = {"mrr", "ap", "roc-auc", "mrr-worst", "batch-ap"}
    assert set(scores) == {f"test_{name}" for name in names}
    told = json.loads((tmp_path / "stream-run" / "result.json").read_text())
    assert told["metric"] == "mrr"
    assert told["events_per_second"] > 0


def test_readme_fits_on_two_screens():
    assert len(README.splitlines()) <= MOST_LINES


def test_the_two_commands_install_and_run():
    assert "pip install '.[mpi,demo]' && batchgnn demo\n" in README
    assert "pip install '.[mpi,test]' && pytest\n" in README
    assert "check: lint pytest wheel" in (ROOT / "Makefile").read_text()


def test_every_make_target_and_file_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)`", texts)):
        assert f"\n{target}:" in makefile
    for path in set(re.findall(r"`((?:batchgnn|partition|launch|data|tests)/[\w/.]+\.\w+)", texts)):
        if not re.search(r"[A-Z]{4,}\.py|_[A-Z]+\.py", path):
            assert (ROOT / path).exists(), path
