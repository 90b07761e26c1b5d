"""Shards copied to another disk: read there, verified, used again; and files that point outside."""

import os
from collections import namedtuple

import h5py
import numpy as np
import pytest
from commands import succeed
from graphs import learnable_graph, shards_of
from shards import accept_shards

from batchgnn.base.errors import StoreError
from batchgnn.store.seal import seal
from batchgnn.store.shard_store import ShardStore, shard_name
from batchgnn.store.stage import stage

TWO = np.array([0, 2], np.int32)


@pytest.fixture
def store(tmp_path):
    return ShardStore(shards_of(learnable_graph(), tmp_path / "shards"))


def folder_of(store, to):
    return to / f"batchgnn-{store.manifest.fingerprint[:16]}"


def test_staged_shards_are_read_from_their_copies_and_others_from_the_store(store, tmp_path):
    staged = stage(store, TWO, tmp_path / "scratch", show=False)
    folder = folder_of(store, tmp_path / "scratch")
    assert sorted(os.listdir(folder)) == [shard_name(0), shard_name(2)]
    assert staged.shard_path(2) == folder / shard_name(2)
    assert staged.shard_path(1) == store.shard_path(1)
    for s in range(4):
        np.testing.assert_array_equal(staged.shard(s).features, store.shard(s).features)
    before = (folder / shard_name(0)).stat().st_mtime_ns
    (folder / shard_name(2)).write_bytes(b"half a copy of an old batchgnn")
    stage(store, TWO, tmp_path / "scratch", show=False)
    assert (folder / shard_name(0)).stat().st_mtime_ns == before
    assert (folder / shard_name(2)).stat().st_size == store.shard_path(2).stat().st_size


def test_the_first_rank_shows_how_far_the_copying_is(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("batchgnn.base.progress.LINE_EVERY_S", 0.0)
    stage(store, TWO, tmp_path / "scratch", show=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("copying shards to ") and " MiB" in line for line in lines)
    stage(store, TWO, tmp_path / "other", show=False)
    assert capsys.readouterr().err == ""


def test_a_damaged_shard_is_not_staged(store, tmp_path):
    offset, *_ = store.places(2)["vertex/features"]
    with store.shard_path(2).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff\xff")
    with pytest.raises(StoreError, match="vertex/features is damaged"):
        stage(store, TWO, tmp_path / "scratch", show=False)
    assert os.listdir(folder_of(store, tmp_path / "scratch")) == [shard_name(0)]


def test_a_full_disk_is_refused_before_copying(store, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(StoreError, match="of shards do not fit"):
        stage(store, TWO, tmp_path / "scratch", show=False)
    assert os.listdir(folder_of(store, tmp_path / "scratch")) == []


def test_training_on_staged_shards_ends_the_same(store, tmp_path):
    line = ["train", store.path, "--layers", 2, "--fanouts", 3, 2, "--hidden", 8, "--epochs", 1]
    succeed(*line, "--run", tmp_path / "a")
    succeed(*line, "--run", tmp_path / "b", "--stage-to", tmp_path / "scratch")
    with h5py.File(tmp_path / "a" / "model.h5") as a, h5py.File(tmp_path / "b" / "model.h5") as b:
        np.testing.assert_array_equal(a["parameters"], b["parameters"])
    assert len(os.listdir(folder_of(store, tmp_path / "scratch"))) == 4


@pytest.mark.parametrize(
    "mode",
    [
        ["tensor"],
        pytest.param(["tensor", "--tensor-ways", 1], marks=pytest.mark.slow),
        pytest.param(["pipeline"], marks=pytest.mark.slow),
    ],
    ids=["sliced", "grid", "pipeline"],
)
def test_ranks_that_read_all_shards_copy_them_together(store, tmp_path, mode):
    """Each copies some, all are read from their copies: those of the store are cut to nothing."""
    scratch = tmp_path / "scratch"
    line = ["train", store.path, "--mode", *mode, "--layers", 2, "--hidden", 8, "--epochs", 2]
    succeed(*line, "--run", tmp_path / "a", ranks=2, timeout_s=200)
    succeed(*line, "--run", tmp_path / "b", "--stage-to", scratch, ranks=2, timeout_s=200)
    assert sorted(os.listdir(folder_of(store, scratch))) == [shard_name(s) for s in range(4)]
    with h5py.File(tmp_path / "a" / "model.h5") as a, h5py.File(tmp_path / "b" / "model.h5") as b:
        np.testing.assert_array_equal(a["parameters"], b["parameters"])


@pytest.mark.parametrize("how", ["external link", "soft link", "external bytes", "virtual"])
@pytest.mark.parametrize("which", ["manifest.h5", "shard-00001.h5"])
def test_a_file_that_points_outside_is_refused(store, tmp_path, how, which):
    """The name of a dataset that is there, standing for one that is elsewhere."""
    name = "shard/num_seeds" if which == "manifest.h5" else "vertex/label"
    secret = tmp_path / "secret.h5"
    with h5py.File(store.path / which, "r+") as file, h5py.File(secret, "w") as other:
        shape, dtype = file[name].shape, file[name].dtype
        other.create_dataset("x", data=np.zeros(shape, dtype))
        del file[name]
        if how == "external link":
            file[name] = h5py.ExternalLink(str(secret), "/x")
        elif how == "soft link":
            file[name] = h5py.SoftLink("/x")
        elif how == "external bytes":
            file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(secret), "x", shape)
            file.create_virtual_dataset(name, layout)
    if which == "manifest.h5":
        seal(store.path / which)
    else:
        accept_shards(store.path)
    with pytest.raises(StoreError, match=f"{name} points out of the file"):
        ShardStore(store.path).shard(1)


def test_run_folders_follow_the_users_umask(store, tmp_path):
    mask = 0o027
    before = os.umask(mask)
    try:
        out = tmp_path / "run"
        succeed("train", store.path, "--run", out, "--layers", 1, "--hidden", 4, "--epochs", 1)
    finally:
        os.umask(before)
    for path in [out, *out.rglob("*")]:
        wanted = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == wanted & ~mask, path
