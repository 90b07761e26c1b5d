"""`batchgnn demo`: the whole way in under two minutes, and what it says when it cannot."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchgnn.launch.demo import commands, free_folder

ROOT = Path(__file__).parents[2]


def demo(cwd, *options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "batchgnn", "demo", *options],
        cwd=cwd,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(200)
def test_the_demo_reaches_96_percent_within_two_minutes_with_a_cold_cache(tmp_path):
    begin = time.monotonic()
    done = demo(tmp_path, BATCHGNN_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - begin < 120
    result = json.loads((tmp_path / "batchgnn-demo" / "run" / "result.json").read_text())
    assert result["test_accuracy"] >= 0.96
    assert result["ranks"] == 2
    assert f"Test accuracy {result['test_accuracy']:.3f}" in done.stdout
    again = demo(tmp_path, "--folder", "batchgnn-demo")
    assert again.returncode == 2
    assert "nothing is written over" in again.stderr


def test_a_failing_step_stops_the_demo_with_its_status(tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ImportError('hidden by a test')")
    done = demo(tmp_path, "--folder", "here", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert "pip install 'batchgnn[demo]'" in done.stderr
    assert "the demo stopped: data ended with status 2" in done.stderr
    assert not (tmp_path / "here").exists()


def test_the_default_folder_is_the_first_that_is_free(tmp_path):
    wanted = tmp_path / "demo"
    assert free_folder(wanted) == wanted
    wanted.mkdir()
    (tmp_path / "demo-2").mkdir()
    assert free_folder(wanted) == tmp_path / "demo-3"


def test_the_steps_are_the_commands_of_the_readme(tmp_path):
    names = [command[0] for command in commands(tmp_path)]
    assert names == ["data", "partition", "launch", "evaluate", "predict"]
