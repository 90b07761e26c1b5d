"""What lies in examples/ runs: on small stand-ins of the data that it is for.

Two are slow for what they add: `test_readme.py` runs nearly the same commands.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stand_ins
from commands import ROOT, environment

from batchgnn.launch.mpirun import root_environment

EXAMPLES = ROOT / "examples"
BATCH_SYSTEM = """#!/bin/bash
# In place of sbatch: runs the script, the last word, at once.
mkdir -p logs
for script; do :; done
SLURM_CPUS_PER_TASK=1 SLURM_JOB_ID=7 bash "$script" >>sbatch.log 2>&1 || exit
echo 7
"""


def run(example, *words, cwd, path=None, **variables):
    """The example with these words, as a user types it; what it printed."""
    found = [path, str(Path(sys.executable).parent), os.environ["PATH"]]
    with_commands = {"PATH": ":".join(filter(None, found)), **variables}
    with_commands |= root_environment(os.geteuid())
    done = subprocess.run(
        ["sh", EXAMPLES / example, *map(str, words)],
        cwd=cwd, env=environment() | with_commands, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_own_tables_on_a_laptop(tmp_path):
    stand_ins.write_tables(tmp_path, np.random.default_rng(0))
    run("own_csv.sh", "edges.csv", "vertices.csv", "out", cwd=tmp_path, EPOCHS="4")
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["original_id"] for row in rows] == [f"v{v}" for v in range(stand_ins.VERTICES)]
    right = [row["predicted"] == str(v % 2) for v, row in enumerate(rows)]
    assert sum(right) > 0.85 * len(right)
    assert (tmp_path / "out" / "report.html").exists()


def test_products_on_slurm(tmp_path):
    stand_ins.write_ogb(tmp_path, np.random.default_rng(0))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(BATCH_SYSTEM)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    train = "--model sage --layers 2 --fanouts 3 2 --hidden 4 --batch-size 20 --epochs 2 --lr 0.02"
    smaller = ["--nodes", 1, "--ranks-per-node", 2, "--threads-per-rank", 1, "--cut", "--shards 4"]
    run("products_on_slurm.sh", "ogbn_products", "out", *smaller, "--train", train,
        cwd=tmp_path, path=str(tmp_path / "bin"))  # fmt: skip
    result = json.loads((tmp_path / "out" / "run" / "result.json").read_text())
    assert (result["ranks"], result["epochs"]) == (2, 2)
    assert (tmp_path / "out" / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_temporal_stream(tmp_path):
    stand_ins.write_events(tmp_path, np.random.default_rng(0))
    said = run("temporal_stream.sh", "events.csv", "out", cwd=tmp_path, EPOCHS="1")
    assert "test_mrr" in said
    with (tmp_path / "out" / "next.csv").open() as file:
        chances = {row["target"]: float(row["probability"]) for row in csv.DictReader(file)}
    assert chances.keys() == {f"item{n}" for n in range(30)}
    assert all(0 < chance < 1 for chance in chances.values())


def test_the_notebook_ends_with_named_predictions(tmp_path):
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[docs]'")
    out = tmp_path / "done.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", EXAMPLES / "guests.ipynb", f"--output={out}"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = json.loads(out.read_text())["cells"]
    shown = "".join(cells[-1]["outputs"][0]["data"]["text/plain"])
    assert shown.split()[:3] == ["original_id", "predicted", "probability_Mr."]
