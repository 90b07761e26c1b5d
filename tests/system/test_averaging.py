"""Runs of mode averaging are evaluated and predicted on other ranks than they were trained on."""

import json
import re

import pytest
from commands import succeed
from graphs import learnable_graph, shards_of

ALONE = ["--trainers", 2, "--evaluator", "--round", "3steps"]


def test_a_run_of_several_trainers_is_evaluated_on_any_ranks(tmp_path):
    shards, out = shards_of(learnable_graph(), tmp_path / "shards", 6), tmp_path / "run"
    how = ["--mode", "averaging", *ALONE, "--epochs", 3, "--batch-size", 40]
    succeed("train", shards, "--run", out, *how, ranks=3)
    expected = json.loads((out / "result.json").read_text())["test_accuracy"]
    for ranks in (None, 2):
        said = succeed("evaluate", out, ranks=ranks)
        assert float(re.search(r"test\D*accuracy\D*([\d.]+)", said)[1]) == pytest.approx(
            expected, abs=1e-4
        ), said
        table = tmp_path / f"predicted-{ranks}.csv"
        succeed("predict", out, table, ranks=ranks)
        assert len(table.read_text().splitlines()) == 401
