"""`--log` on several ranks: the first one writes, all are refused together."""

import sys

import pytest
from curves import READERS
from jobs import metrics
from mpi.together import wait_asleep, written

from batchgnn.base.errors import ConfigError
from batchgnn.run.train import train

OPTIONS = {"mode": "fullgraph", "layers": 1, "hidden": 8, "epochs": 2, "threads": 1}


@pytest.fixture
def shards(shared_folder):
    return written(shared_folder / "of logs", num_vertices=97)


def test_the_first_rank_alone_writes(comm, shards, shared_folder):
    run = shared_folder / "logged"
    train(shards, run=run, options={**OPTIONS, "log": ("tensorboard",)})
    wait_asleep()
    assert len(list((run / "tensorboard").iterdir())) == 1
    steps, losses = zip(*READERS["tensorboard"](run / "tensorboard")["loss"], strict=True)
    assert steps == (1, 2)
    assert losses == pytest.approx([line["loss"] for line in metrics(run)])


def test_a_missing_package_is_told_by_all_before_anything_is_written(
    comm, shards, shared_folder, monkeypatch
):
    run = shared_folder / "refused"
    monkeypatch.setitem(sys.modules, "batchgnn.run.logs.wandb", None)
    with pytest.raises(ConfigError, match=r"^--log wandb needs .* pip install 'batchgnn\[wandb\]'"):
        train(shards, run=run, options={**OPTIONS, "log": ("wandb",)})
    wait_asleep()
    assert not run.exists()
