"""`train --log` by its command: a run, a resume, and a log that is asked for at the end."""

import pytest
from curves import READERS
from graphs import learnable_graph, shards_of
from jobs import metrics

from batchgnn.cli import main

OPTIONS = ["--mode", "fullgraph", "--layers", 1, "--hidden", 8, "--eval-every", 2, "--threads", 1]


def train(*words):
    with pytest.raises(SystemExit) as end:
        main(["train", *map(str, words), *map(str, OPTIONS)])
    assert not end.value.code


def test_a_resume_goes_on_with_the_curves_and_a_log_may_come_late(tmp_path, capfd):
    run, shards = tmp_path / "run", shards_of(learnable_graph(num_vertices=97), tmp_path / "shards")
    train(shards, "--run", run, "--epochs", 2, "--log", "tensorboard")
    train(shards, "--run", run, "--epochs", 4, "--log", "tensorboard", "--resume")
    train(shards, "--run", run, "--epochs", 4, "--log", "mlflow", "--resume")
    lines = metrics(run)
    for tool in ("tensorboard", "mlflow"):
        curves = READERS[tool](run / tool)
        assert [step for step, _ in curves["val_accuracy"]] == [2, 4]
        steps, losses = zip(*curves["loss"], strict=True)
        assert steps == (1, 2, 3, 4)
        assert losses == pytest.approx([line["loss"] for line in lines])
    assert "has finished" in capfd.readouterr().out
