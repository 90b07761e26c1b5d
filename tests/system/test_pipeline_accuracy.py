"""A real graph in a pipeline is learnt as by exact steps, and the guard has nothing to say."""

import json

import pytest
from commands import succeed
from shards import DATA

GCNII = [
    *("--model", "gcnii", "--layers", 16, "--hidden", 64, "--dropout", 0.6, "--threads", 1),
    *("--input-dropout", 0.6, "--weight-decay", 5e-4, "--conv-weight-decay", 0.01, "--lr", 0.01),
]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cora_reaches_what_its_recipe_asks_of_exact_steps(tmp_path):
    """GCNII with 16 layers in 16 chunks, of one rank: the same on any number of stages."""
    source = DATA / "static" / "cora.npz"
    if not source.is_file():
        pytest.skip(f"{source} is absent: set BATCHGNN_DATA to the folder of real graphs")
    graph, shards, run = (tmp_path / name for name in ("graph.h5", "shards", "run"))
    succeed("data", "convert", "npz", source, graph, "--normalize-features", "row")
    succeed("partition", graph, shards, "--shards", 16)
    options = ["--mode", "pipeline", "--epochs", 400, "--patience", 100]
    succeed("train", shards, "--run", run, *GCNII, *options, timeout_s=3000)
    result = json.loads((run / "result.json").read_text())
    assert result["test_accuracy"] >= 0.83
    assert result["guard"]["exact_from"] is None
