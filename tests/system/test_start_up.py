"""From the command to the first step: kernels compiled once, and nothing slow on the way."""

import json
import os
import re
import subprocess
import time

import numba
import pytest
from commands import command, environment
from graphs import learnable_graph, shards_of
from mpi.ranks import HERE, run_on_ranks

PROGRAM = HERE / "programs" / "compilations.py"
TRAIN = ["--layers", 2, "--fanouts", 4, 4, "--hidden", 16, "--batch-size", 60, "--epochs", 2]
LAYOUT = r", '[ACF]', (True|False), aligned=(True|False)"
FIRST_STEP_S = 12.0
"On a machine that other tests load; README has the time on a quiet one."


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("start") / "shards")


def compiled(shards, folder, cache, name):
    """What each of two ranks compiled during a training run."""
    argv = [PROGRAM, folder / name, "train", shards, "--run", folder / f"{name}-run", *TRAIN]
    done = run_on_ranks(2, argv, environment={"BATCHGNN_CACHE": str(cache)})
    assert done.status == 0, done.output
    said = [json.loads((folder / f"{name}.{rank}").read_text()) for rank in range(2)]
    return [each["compiled"] for each in said], said[0]["signatures"], done.output


@pytest.mark.skipif(
    numba.config.DISABLE_JIT or "NUMBA_CACHE_DIR" in os.environ, reason="no cache of our own"
)
def test_the_ranks_of_a_node_compile_each_kernel_once(shards, tmp_path):
    (first, second), signatures, output = compiled(shards, tmp_path, tmp_path / "cache", "cold")
    assert len(first) + len(second) == len({*first, *second}) >= 20, (first, second)
    assert output.count("compiling kernels") == 1
    again, _, output = compiled(shards, tmp_path, tmp_path / "cache", "warm")
    assert again == [[], []]
    assert "compiling kernels" not in output
    for name, types in signatures.items():
        alike = {re.sub(LAYOUT, "", each) for each in types}
        assert len(alike) == len(types), f"{name} is compiled for several layouts: {types}"


def test_the_first_step_comes_soon_after_the_command(shards, tmp_path):
    for run in ("first", "second"):  # the kernels are on disk before the second
        seconds = seconds_to_first_step(shards, tmp_path / run)
    assert seconds < FIRST_STEP_S


def seconds_to_first_step(shards, run):
    """Until the first gradient of a run on two ranks is summed."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command(["train", shards, "--run", run, *TRAIN], ranks=2),
        env=environment() | {"BATCHGNN_TRACE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = None
    with process.stdout:
        for line in process.stdout:
            if seconds is None and ": gradient " in line:
                seconds = time.monotonic() - begin
    assert process.wait(60) == 0
    assert seconds is not None
    return seconds
