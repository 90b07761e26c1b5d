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

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RUN = [sys.executable, "-m", "batchgnn"]


def environment():
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}


def write_tables(folder, rng, num_vertices=200):
    """Two groups whose members know mostly each other; ids are words."""
    group = np.arange(num_vertices) % 2
    pairs = {tuple(sorted(pair)) for pair in rng.integers(0, num_vertices, (1500, 2)).tolist()}
    with (folder / "edges.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "target"])
        for u, v in sorted(pairs):
            if u != v and (group[u] == group[v] or (u + v) % 10 == 1):
                rows.writerow([f"v{u}", f"v{v}"])
    with (folder / "vertices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", "split", "x", "y"])
        for v in range(num_vertices):
            x, y = rng.normal(size=2) + 3 * group[v]
            rows.writerow(
                [f"v{v}", group[v], ("train", "val", "test")[v % 3], f"{x:.4f}", f"{y:.4f}"]
            )


@pytest.mark.timeout(300)
def test_the_worked_example_runs_as_printed(tmp_path):
    block = re.search(r"test_readme.py runs the next block -->\n```sh\n(.*?)```", README, re.S)[1]
    commands = [line.split() for line in block.splitlines()]
    assert {words[1] for words in commands} == {
        "data", "partition", "inspect", "launch", "evaluate", "predict", "export",
        "report",
    }  # fmt: skip
    write_tables(tmp_path, np.random.default_rng(0))
    for words in commands:
        done = subprocess.run(
            [*RUN, *words[1:]], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["ranks"] == 2
    assert result["test_accuracy"] > 0.85
    assert "<h2>Balance of the ranks</h2>" in (tmp_path / "run" / "report.html").read_text()
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file["probability"].shape == (200, 2)
        assert file["original_id"][7] in (b"v7", "v7")


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
