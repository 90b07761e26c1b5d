"""Stages of chunks of one size are idle for hardly longer than the bubble is."""

import json

import pytest
from commands import succeed

from batchgnn.run.folder import RunFolder

CHUNKS, STAGES = 8, 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_measured_idle_is_at_most_five_points_above_the_bubble(tmp_path):
    """(S - 1)/(C + S - 1), in the best of some epochs: others may use the processors too."""
    graph, shards, run = (tmp_path / name for name in ("graph.h5", "shards", "run"))
    size = ["--vertices", 40_000, "--degree", 10, "--features", 64, "--classes", 8]
    succeed("data", "generate", "communities", graph, *size)
    succeed("partition", graph, shards, "--shards", CHUNKS)
    model = ["--model", "sage", "--residual", "--layers", 8, "--hidden", 64, "--dropout", 0]
    line = ["--mode", "pipeline", *model, "--aggregate-cache", "off", "--guard-every", 0]
    line += ["--epochs", 20, "--eval-every", 20, "--threads", 1]
    succeed("train", shards, "--run", run, *line, ranks=STAGES, timeout_s=600)
    slots = json.loads((run / "result.json").read_text())["slots"]
    idle = [each["idle"] for each in RunFolder(run).read_metrics()]
    print(f"{slots}, by epoch {[round(each, 3) for each in idle]}")
    bubble = (STAGES - 1) / (CHUNKS + STAGES - 1)
    assert slots["bubble"] == pytest.approx(bubble, abs=1e-4)
    assert min(idle[1:]) <= bubble + 0.05
