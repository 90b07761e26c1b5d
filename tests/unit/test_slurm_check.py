"""What stands in a pipeline is found wrong when it is written, not when its turn comes."""

import dataclasses
import os
from pathlib import Path

import pytest
from graphs import learnable_graph, shards_of
from shards import store_graph

from batchgnn.base.errors import ConfigError
from batchgnn.launch import queue
from batchgnn.launch.slurm import Pipeline
from batchgnn.launch.slurm_check import check_pipeline
from batchgnn.launch.slurm_cli import _resolved
from batchgnn.launch.status import log_lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a pipeline runs: a graph store, and four shards of it."""
    made = tmp_path_factory.mktemp("pipeline")
    store_graph(learnable_graph(), made / "graph.h5")
    shards_of(learnable_graph(), made / "shards")
    return made


GOOD = Pipeline(train="--model sage --layers 2 --fanouts 3 3", nodes=2, ranks_per_node=2)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cut": "--shards 8 --method random"},
        {"convert": "generate communities --vertices 1000", "cut": "--shards 4"},
        {"sweep": ("--lr 0.01", "--lr 0.02"), "seeds": (1, 2)},
        {"train": "--mode fullgraph --model gcn", "nodes": 8},
    ],
)
def test_what_can_run_is_taken(folder, settings):
    check_pipeline(dataclasses.replace(GOOD, **settings), folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": "--modle sage"}, "--train: .*--modle"),
        ({"train": "--hidden many"}, "--train: .*--hidden"),
        ({"train": "--mode fullgraph --batch-size 3"}, "--train: --batch-size is an option of"),
        ({"train": "--config none.toml"}, "--train: .*none.toml"),
        ({"sweep": ("--lr 0.1", "--lr x")}, r"--train \(with --lr x\): .*--lr"),
        ({"cut": "--shard 3"}, "--cut: .*--shard"),
        ({"cut": "--shards none", "shards": Path("/new")}, "--cut: .*--shards"),
        ({"cut": "--shards 3", "shards": Path("/new")}, "3 shards cannot be shared by 4 ranks"),
        ({"nodes": 3}, "4 shards cannot be shared by 6 ranks .*--cut '--shards 6'"),
        ({"convert": "convert ogb none"}, "--convert: .*none does not exist"),
        ({"convert": "generate comunities"}, "--convert: "),
        ({"convert": "convert edges none.csv --arcs thrice"}, "--convert: .*--arcs"),
        ({"shards": Path("/none")}, "--shards /none is no shard store, and no step makes it"),
        ({"cut": "--shards 4", "graph": Path("/none.h5")}, "--graph /none.h5 does not exist"),
    ],
    ids=str,
)
def test_what_a_job_would_find_wrong_is_refused(folder, settings, said):
    where = folder if "convert" not in said else folder / "new"
    with pytest.raises(ConfigError, match=said):
        check_pipeline(dataclasses.replace(GOOD, **settings), where)


SINFO = """#!/bin/bash
echo 'fast|1:00:00'; echo 'cpu*|2-00:00:00'; echo 'long|infinite'
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partition": "fast"}, "--time 4:00:00 is longer than partition fast gives: at most 1:00"),
        ({"time": "3-0"}, "--time 3-0 is longer than partition cpu gives: at most 48:00:00"),
        ({"partition": "gpu"}, "--partition gpu: Slurm here has fast, cpu, long"),
        ({"partition": "long", "time": "90-0:0:0"}, None),
        ({"partition": "fast,long"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_time_limit_is_slurms(folder, tmp_path, monkeypatch, settings, said):
    (tmp_path / "sinfo").write_text(SINFO)
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pipeline = dataclasses.replace(GOOD, **settings)
    if said is None:
        check_pipeline(pipeline, folder)
    else:
        with pytest.raises(ConfigError, match=said):
            check_pipeline(pipeline, folder)


def test_times_are_read_as_slurm_writes_them():
    texts = {"90": 5400, "1:30": 90, "2:00:00": 7200, "1-1": 90000, "1-0:1": 86460, "x": None}
    assert {text: queue.seconds_of(text) for text in texts} == texts


def test_the_own_environment_is_recorded_where_it_starts_the_program(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    own = dataclasses.replace(GOOD, mpi="openmpi")
    assert _resolved(own).venv == tmp_path
    assert _resolved(dataclasses.replace(own, container="apptainer exec i.sif")).venv is None
    assert _resolved(dataclasses.replace(own, venv=Path("/other"))).venv == Path("/other")


def test_a_failed_job_shows_where_its_log_is_and_how_it_ends(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "train-7-1.log").write_text("begin\nbatchgnn: no room\n\n")
    (tmp_path / "logs" / "train-7-0.log").write_text("fine\n")
    ended = [queue.JobState("7_0", "COMPLETED"), queue.JobState("7_1", "FAILED")]
    monkeypatch.setattr(queue, "states", lambda number: ended)
    assert log_lines(tmp_path, queue.Submitted("train", "7", True)) == [
        f"  {tmp_path}/logs/train-7-1.log: batchgnn: no room"
    ]
