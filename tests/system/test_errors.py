"""Mistakes of users and damaged files: one message for all ranks, status 2, no traceback."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import finish, refused, start, succeed
from graphs import learnable_graph, shards_of
from shards import edited

from batchgnn.partition.partition import partition

SMALL = ["--layers", 2, "--fanouts", 4, 3, "--hidden", 16, "--batch-size", 60, "--epochs", 3]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("errors") / "shards")


@pytest.fixture
def damaged(shards, tmp_path):
    """A copy of the shards to damage."""
    return Path(shutil.copytree(shards, tmp_path / "damaged"))


def train_is_refused(shards, run, *options, ranks=2):
    """The message, which is the same for all ranks and comes once; no run folder is begun."""
    said = refused("train", shards, "--run", run, *options, ranks=ranks)
    assert not run.exists()
    return said


def truncate(shards):
    path = shards / "shard-00002.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return f"{path} is truncated"


def remove(shards):
    (shards / "shard-00001.h5").unlink()
    return f"{shards / 'shard-00001.h5'} is missing"


def mix(shards):
    other = shards.parent / "other"
    partition(learnable_graph(), other, "random", 4, 7)
    shutil.copy(other / "shard-00003.h5", shards)
    return f"{shards / 'shard-00003.h5'} belongs to another partitioning"


def exchange(shards):
    shutil.copy(shards / "shard-00000.h5", shards / "shard-00003.h5")
    return f"{shards / 'shard-00003.h5'} holds shard 0, not 3"


def make_newer(shards):
    with edited(shards / "manifest.h5") as file:
        file.attrs["format_version"] = 99
    return f"{shards / 'manifest.h5'} has format version 99"


def drop_manifest(shards):
    (shards / "manifest.h5").unlink()
    return f"{shards} has no manifest.h5: needed a shard store"


@pytest.mark.parametrize("damage", [truncate, remove, mix, exchange, make_newer, drop_manifest])
def test_damaged_shards(damaged, tmp_path, damage):
    meant = damage(damaged)
    assert train_is_refused(damaged, tmp_path / "run", *SMALL).count(meant) == 1


OPTIONS = {
    "fanouts": (["--layers", 3, "--fanouts", 5, 5], "--fanouts 5 5 has 2 numbers for --layers 3"),
    "no neighbours": (["--layers", 1, "--fanouts", 0], "each must be at least 1, or -1 for all"),
    "heads": (["--model", "gat", "--hidden", 30], "--hidden 30 is not a multiple of --heads 4"),
    "memory": (["--memory", "100M"], "may use 100.0 MiB; the largest part is the interpreter"),
    "size": (["--memory", "lots"], "'lots' is no size in bytes"),
    "split": (["--split-index", 1], "has 1 splits, --split-index 1 asks"),
    "number": (["--dropout", 1], "Must be < 1"),
    "word": (["--fanouts", 3, "few"], 'unable to convert "few" into int'),
    "choice": (["--model", "gnn"], 'invalid value "gnn" for --model'),
    "no file": (["--config", "/no/such.toml"], "/no/such.toml: no such settings file"),
}

SAID_BEFORE_MPI = {OPTIONS[name][1] for name in ("number", "choice")}
"As `word` and `no file`, which show on two ranks that their message comes once."


@pytest.mark.parametrize(("options", "meant"), OPTIONS.values(), ids=OPTIONS)
def test_settings(shards, tmp_path, options, meant):
    ranks = None if meant in SAID_BEFORE_MPI else 2
    said = train_is_refused(shards, tmp_path / "run", *options, ranks=ranks)
    assert " ".join(plain(said).split()).count(meant) == 1, said


TOML = {
    "no TOML": (b"hidden = \n", " is not valid TOML: Invalid value (at line 1, column 10)"),
    "no text": (b"hidden = \xff\n", " is not valid TOML: "),
    "unknown key": (b"hiden = 64\n", "Did you mean --hidden?"),
    "in a table": (b"[layers]\nhiden = 64\n", "no option of [layers]. Did you mean --hidden?"),
    "wrong type": (b'hidden = "many"\n', 'unable to convert "many" into int'),
}


@pytest.mark.parametrize(("text", "meant"), TOML.values(), ids=TOML)
def test_settings_files(shards, tmp_path, text, meant):
    path = tmp_path / "s.toml"
    path.write_bytes(text)
    ranks = 2 if meant == TOML["unknown key"][1] else None
    said = plain(train_is_refused(shards, tmp_path / "run", "--config", path, ranks=ranks))
    assert " ".join(said.split()).count(meant) == 1, said
    assert "s.toml" in "".join(said.split())


def plain(text):
    """Without the frame and the colours of a panel."""
    return re.sub(r"\x1b\[[0-9;]*m|[╭╮╰╯─│]", "", text)


def test_too_many_ranks(shards, tmp_path):
    said = train_is_refused(shards, tmp_path / "run", *SMALL, ranks=5)
    assert said.count("4 shards cannot serve 5 ranks. Start at most 4 ranks") == 1


def test_accuracy_of_several_labels(tmp_path):
    shards = shards_of(learnable_graph(multilabel=True), tmp_path / "shards")
    said = train_is_refused(shards, tmp_path / "run", *SMALL, "--metric", "accuracy")
    assert said.count("--metric accuracy is no score of --task multilabel") == 1


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MiB; `mount` again with another size makes room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(shards, tmp_path, tiny_disk):
    wide = [700 if word == 16 else word for word in SMALL]  # checkpoints of 370 KB
    wide += ["--checkpoint-every", 1, "--checkpoint-seconds", 0]
    line = ["train", shards, "--run", tiny_disk / "run", *wide]
    done = finish(start(*line, ranks=2), 60)
    ended_s = time.time()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("no room to write it") == 1
    kept = sorted((tiny_disk / "run" / "checkpoint").iterdir())
    assert [path.name for path in kept] == [
        "epoch-000000-step-00000001",
        "epoch-000000-step-00000002",
    ]
    named = (
        r"  on 1 of 2 ranks: rank 0 \(host .+\); after epoch 1 step 3, at collective \d+, "
        r"agreement \(writing a checkpoint\)\n"
    )
    assert re.search(named, done.stderr), done.stderr
    seconds = ended_s - kept[-1].stat().st_mtime
    print(f"ended {seconds:.1f} s after the last checkpoint")
    assert seconds < 15

    subprocess.run(["mount", "-o", "remount,size=64m", tiny_disk], check=True)
    succeed(*line, "--resume", ranks=2)
    succeed("train", shards, "--run", tmp_path / "run", *wide, ranks=2)
    with (
        h5py.File(tiny_disk / "run" / "model.h5") as found,
        h5py.File(tmp_path / "run" / "model.h5") as wanted,
    ):
        np.testing.assert_array_equal(found["parameters"], wanted["parameters"])


def test_an_existing_output_is_left_alone(shards, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    succeed("train", shards, "--run", run, *SMALL, ranks=2)
    out.write_text("mine")
    for command in ("predict", "export"):
        assert f"{out} exists: nothing is written over" in refused(command, run, out)
        assert out.read_text() == "mine"
    said = refused("predict", run, out, ranks=2)
    assert said.count("nothing is written over") == 1
