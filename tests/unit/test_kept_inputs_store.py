"""Aggregated features beside the shards: what is read back, and what is refused in which words."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from shards import two_triangles

from batchgnn.base.errors import StoreError
from batchgnn.partition.write import write_shards
from batchgnn.store.kept_inputs import create_kept, kept_path, open_kept, origin_of
from batchgnn.store.shard_store import ShardStore

HALVES = np.array([0, 0, 0, 1, 1, 1], np.int32)
ROWS = np.arange(9, dtype=np.float32).reshape(3, 3)


def cut(path, shard_of=HALVES, weight=1.0, features=1.0):
    """The two triangles in two shards, with multiples of their weights and features."""
    graph = two_triangles(weighted=True)
    object.__setattr__(graph, "weight", graph.weight * np.float32(weight))
    object.__setattr__(graph, "features", graph.features * np.float32(features))
    write_shards(graph, path, shard_of, num_shards=2)
    return ShardStore(path)


@pytest.fixture
def store(tmp_path):
    return cut(tmp_path / "shards")


def write(store, origin, s=0):
    with create_kept(store, origin, s, np.float32) as rows:
        rows[...] = ROWS
    return kept_path(store, origin, s)


def test_what_is_written_is_mapped_again(store):
    origin = origin_of(store.manifest, "mean", "float32")
    assert open_kept(store, origin, 0) is None
    path = write(store, origin)
    assert path == store.path / "aggregate" / "mean-float32-00000.h5"
    rows = open_kept(store, origin, 0)
    assert isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, ROWS)
    assert rows.ctypes.data % 64 == 0
    assert open_kept(store, origin, 1) is None
    assert open_kept(store, origin_of(store.manifest, "sum", "float32"), 0) is None
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1


def test_the_shard_files_are_left_alone(store):
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.path.glob("*.h5")
    }
    write(store, origin_of(store.manifest, "gcn", "float32"))
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in store.path.glob("*.h5")}


def test_nothing_is_left_of_what_was_not_finished(store):
    origin = origin_of(store.manifest, "mean", "float32")
    with pytest.raises(KeyError), create_kept(store, origin, 0, np.float32):
        raise KeyError
    assert not (store.path / "aggregate").exists()


@pytest.mark.parametrize("aggregation", ["mean", "sum", "gcn"])
def test_an_origin_changes_with_what_counts(store, tmp_path, aggregation):
    origin = origin_of(store.manifest, aggregation, "float32")

    def differs(other):
        of_other = origin_of(other.manifest, aggregation, "float32")
        return [name for name, value in vars(of_other).items() if value != getattr(origin, name)]

    assert differs(cut(tmp_path / "same")) == []
    assert differs(cut(tmp_path / "features", features=2)) == ["features"]
    assert differs(cut(tmp_path / "weight", weight=2)) == ["topology"] * (aggregation == "gcn")
    swapped = cut(tmp_path / "cut", np.array([0, 0, 1, 0, 1, 1], np.int32))
    assert differs(swapped) == ["features", "topology"]


def test_one_made_from_other_features_is_stale(store, tmp_path):
    made = write(store, origin_of(store.manifest, "mean", "float32"))
    other = cut(tmp_path / "other", features=2)
    origin = origin_of(other.manifest, "mean", "float32")
    path = kept_path(other, origin, 0)
    path.parent.mkdir()
    shutil.copy(made, path)
    with pytest.raises(StoreError, match="is stale: it was made from other features") as refused:
        open_kept(other, origin, 0)
    assert f"rm {other.path}/aggregate/mean-float32-*.h5" in str(refused.value)


def test_one_of_another_partitioning_is_foreign(store, tmp_path):
    made = write(store, origin_of(store.manifest, "gcn", "float32"))
    other = cut(tmp_path / "other", np.array([0, 0, 1, 0, 1, 1], np.int32))
    origin = origin_of(other.manifest, "gcn", "float32")
    path = kept_path(other, origin, 0)
    path.parent.mkdir()
    shutil.copy(made, path)
    with pytest.raises(StoreError, match="belongs to another partitioning, or to other edges"):
        open_kept(other, origin, 0)


MIXED = {
    "another aggregation": ({"aggregation": "sum"}, "holds another aggregation"),
    "other numbers": ({"number": "float16"}, "holds other numbers"),
    "another view": ({"view": "directed"}, "was made from another view of the edges"),
}


@pytest.mark.parametrize(("other", "meant"), MIXED.values(), ids=MIXED)
def test_a_renamed_one_is_refused(store, other, meant):
    origin = origin_of(store.manifest, "mean", "float32")
    made = write(store, replace(origin, **other))
    path = kept_path(store, origin, 0)
    if made != path:
        made.rename(path)
    with pytest.raises(StoreError, match=meant):
        open_kept(store, origin, 0)


def test_that_of_another_shard_is_refused(store):
    origin = origin_of(store.manifest, "mean", "float32")
    write(store, origin, 1).rename(kept_path(store, origin, 0))
    with pytest.raises(StoreError, match="holds shard 1"):
        open_kept(store, origin, 0)


@pytest.mark.parametrize("left", [0.2, 0.6, 0.99])
def test_a_truncated_one_is_refused(store, left):
    origin = origin_of(store.manifest, "mean", "float32")
    path = write(store, origin)
    os.truncate(path, int(left * path.stat().st_size))
    with pytest.raises(StoreError, match=r"is (truncated|no HDF5 file, or damaged)"):
        open_kept(store, origin, 0)


def test_one_of_another_shape_is_refused(store):
    origin = origin_of(store.manifest, "mean", "float32")
    path = write(store, origin)
    with h5py.File(path, "r+") as file:
        del file["aggregate"]
        file["aggregate"] = ROWS[:2]
    with pytest.raises(StoreError, match=r"shape \(2, 3\), needed \(3, 3\)"):
        open_kept(store, origin, 0)


MAKE = """
import sys, numpy as np
from batchgnn.base.errors import StoreError
from batchgnn.store.kept_inputs import create_kept, origin_of
from batchgnn.store.shard_store import ShardStore
store = ShardStore(sys.argv[1])
try:
    with create_kept(store, origin_of(store.manifest, "mean", "float32"), 0, np.float32):
        print("written")
except StoreError as error:
    print(error)
"""


def can_mount():
    return (
        os.geteuid() == 0
        and shutil.which("unshare")
        and not subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="a read-only folder for root needs a mount")
@pytest.mark.parametrize("there", [False, True], ids=["no subfolder", "subfolder"])
def test_a_read_only_folder_mounted(store, there):
    if there:
        (store.path / "aggregate").mkdir()
    root = Path(__file__).parents[2]
    command = (
        f"mount --bind {store.path} {store.path} && mount -o remount,ro,bind {store.path} && "
        f"cd {root} && {sys.executable} -c '{MAKE}' {store.path}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    meant = (
        f"{store.path}/aggregate may not be written to (Read-only file system): make it writable"
    )
    assert meant in done.stdout, done.stdout + done.stderr
    assert "--aggregate-cache memory" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(store):
    store.path.chmod(0o555)
    with pytest.raises(StoreError, match=r"may not be written to \(Permission denied\)"):
        write(store, origin_of(store.manifest, "mean", "float32"))


def test_a_shard_without_vertices(tmp_path):
    store = cut(tmp_path / "shards", np.zeros(6, np.int32))
    origin = origin_of(store.manifest, "mean", "float32")
    with create_kept(store, origin, 1, np.float32) as rows:
        assert rows.shape == (0, 3)
    assert open_kept(store, origin, 1).shape == (0, 3)
