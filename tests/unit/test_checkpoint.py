"""Checkpoints on the disk: whole or absent at any moment, read by any ranks, damage named."""

import json
import math
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_states import NUM_VERTICES, assert_same, assert_same_state, dealt, rows_of, state_of

from batchgnn.base.errors import StoreError
from batchgnn.store import mode_state
from batchgnn.store.checkpoint import (
    Index,
    begin_checkpoint,
    checkpoints_in,
    finish_checkpoint,
    has_checkpoint,
    newest_checkpoint,
    part_path,
    read_index,
    refuse_other_shards,
)
from batchgnn.store.mode_state import (
    ModeState,
    StateFile,
    read_state,
    require_like,
    runs_of,
    write_state,
)

ALL = np.arange(NUM_VERTICES)


def write(folder, epoch=0, step=1, owned=(ALL,), keep=2, tag=0):
    """A checkpoint of ranks that own these vertices, each its own trainer."""
    part = part_path(folder, epoch, step)
    begin_checkpoint(part)
    files = []
    for rank, ids in enumerate(owned):
        state = state_of(ids, trainer=rank, tag=tag)
        files += write_state(part, state, ids, rank, speaks_for_trainer=True)
    progress = {"epoch": epoch, "step": step, "tag": tag}
    return finish_checkpoint(part, Index("f" * 64, progress, state.scalars, files), keep)


def read(path, ids=ALL, trainer=0):
    index = read_index(path)
    state = read_state(path, index.files, np.asarray(ids), trainer)
    state.scalars = index.scalars
    return state


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", [np.int64, np.uint32])
def test_runs_are_of_consecutive_ids(dtype):
    cases = {
        (): [],
        (5,): [[5, 6]],
        (3, 4, 5, 9): [[3, 6], [9, 10]],
        (7, 8, 0, 1, 2): [[7, 9], [0, 3]],
        (4, 2, 0): [[4, 5], [2, 3], [0, 1]],
    }
    for ids, expected in cases.items():
        assert runs_of(np.array(ids, dtype)) == expected


@st.composite
def deals(draw):
    """Ids by rank, of 1 to 5 ranks; some may have none."""
    cuts = draw(st.lists(st.integers(0, NUM_VERTICES), max_size=8))
    num_ranks = draw(st.integers(1, 5))
    owner = st.integers(0, num_ranks - 1)
    owners = draw(st.lists(owner, min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    return dealt(cuts, owners, num_ranks)


@settings(max_examples=40)
@given(deals(), deals())
def test_rows_written_by_any_ranks_are_read_by_any_others(written, wanted):
    with TemporaryDirectory() as folder:
        path = write(Path(folder), owned=written)
        for ids in wanted:
            assert_same_state(read(path, ids), state_of(ids))


def test_rows_are_read_in_the_order_of_the_own_ids(tmp_path):
    ids = np.array([20, 21, 22, 3, 4, 0])
    path = write(tmp_path, owned=[np.roll(ALL, 5)])
    assert_same(read(path, ids).by_vertex, rows_of(ids))


def test_only_the_files_that_a_rank_needs_are_read(tmp_path):
    path = write(tmp_path, owned=[ALL[:10], ALL[10:]])
    (path / "vertices-00001.h5").unlink()
    assert_same(read(path, ALL[2:10]).by_vertex, rows_of(ALL[2:10]))
    with pytest.raises(StoreError, match=r"vertices-00001\.h5 is missing"):
        read(path, ALL[2:11])


def test_what_nobody_has_is_not_written(tmp_path):
    state = ModeState({"parameters": np.ones(3)})
    part = part_path(tmp_path, 0, 1)
    begin_checkpoint(part)
    assert write_state(part, state, ALL, 1, speaks_for_trainer=True) == []
    files = write_state(part, state, ALL, 0, speaks_for_trainer=True)
    path = finish_checkpoint(part, Index("f", {}, {}, files), keep=1)
    assert names(path) == ["index.json", "replicated.h5"]
    found = read(path)
    assert_same(found.replicated, state.replicated)
    assert (found.by_vertex, found.by_trainer) == ({}, {})


def test_a_trainer_that_was_not_there_has_nothing(tmp_path):
    path = write(tmp_path, owned=[ALL[:9], ALL[9:]])
    for trainer in (0, 1):
        wanted = state_of([], trainer).by_trainer
        assert_same(read(path, trainer=trainer).by_trainer, wanted)
    assert read(path, trainer=2).by_trainer == {}


def test_progress_and_scalars_survive_to_the_last_bit(tmp_path):
    progress = {"epoch": 3, "loss": 1 / 3, "best": -math.inf, "n": np.int64(5), "all": "[1.5, 2]"}
    written = Index("f" * 64, progress, {"rate": np.float32(0.1)}, [])
    found = Index.from_json(written.to_json(), tmp_path)
    assert found.progress == progress
    types = {name: type(value) for name, value in found.progress.items()}
    assert types == {"epoch": int, "loss": float, "best": float, "n": int, "all": str}
    assert found.scalars == {"rate": float(np.float32(0.1))}
    without = Index("f", {"test": math.nan}, {}, [])
    assert math.isnan(Index.from_json(without.to_json(), tmp_path).progress["test"])


def test_the_newest_are_kept_in_the_order_of_training(tmp_path):
    for epoch, step in [(0, 9), (0, 10), (0, 100), (1, 0), (9, 5), (10, 0)]:
        path = write(tmp_path, epoch, step, keep=3)
        assert newest_checkpoint(tmp_path) == path
    assert names(tmp_path) == [
        "epoch-000001-step-00000000",
        "epoch-000009-step-00000005",
        "epoch-000010-step-00000000",
    ]


def test_the_same_step_again_replaces_its_checkpoint(tmp_path):
    for tag in (1, 2):
        path = write(tmp_path, 1, 1, tag=tag)
    assert names(tmp_path) == [path.name]
    assert_same_state(read(path), state_of(ALL, tag=2))


class Killed(BaseException):
    """The process is gone: no handler of errors runs."""


def killed_at(patch, moment):
    """The process dies before its `moment`-th change of the disk, in removals after one file."""
    count = iter(range(1000))

    def dying(change):
        def call(*args, **options):
            if next(count) == moment:
                if change is shutil_rmtree:
                    next((p for p in Path(args[0]).iterdir()), Path("none")).unlink(missing_ok=True)
                raise Killed
            return change(*args, **options)

        return call

    shutil_rmtree = shutil.rmtree
    for place, name in [(Path, "rename"), (Path, "mkdir"), (Path, "write_text"), (os, "fsync")]:
        patch.setattr(place, name, dying(getattr(place, name)))
    patch.setattr(shutil, "rmtree", dying(shutil_rmtree))


@pytest.mark.parametrize("step", [1, 2], ids=["the same step", "the next step"])
def test_a_job_killed_at_any_moment_leaves_the_old_or_the_new_one(tmp_path, monkeypatch, step):
    found = []
    for moment in range(100):
        folder = tmp_path / str(moment)
        write(folder, 0, 1, keep=1, tag=1)
        with monkeypatch.context() as patch:
            killed_at(patch, moment)
            try:
                write(folder, 0, step, keep=1, tag=2)
                is_killed = False
            except Killed:
                is_killed = True
        path = newest_checkpoint(folder)
        found.append(read_index(path).progress["tag"])
        for whole in checkpoints_in(folder):
            tag = read_index(whole).progress["tag"]
            assert_same_state(read(whole), state_of(ALL, tag=tag))
        if not is_killed:
            break
        begin_checkpoint(part_path(folder, 0, 3))
        assert read_index(newest_checkpoint(folder)).progress["tag"] == found[-1]
        write(folder, 0, 3, keep=1)
        assert names(folder) == ["epoch-000000-step-00000003"]
    assert found == sorted(found)
    assert set(found) == {1, 2}
    assert found.count(2) > 1
    assert len(found) > 10


def test_a_full_disk_is_named_and_leaves_the_older_ones(tmp_path, monkeypatch):
    path = write(tmp_path, 0, 1)

    def full(beside, name):
        Path(beside).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mode_state, "create_store", full)
    with pytest.raises(StoreError, match=r"step-00000002\.part/replicated\.h5: no room to write"):
        write(tmp_path, 0, 2)
    assert names(part_path(tmp_path, 0, 2)) == []
    assert newest_checkpoint(tmp_path) == path


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "missing": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut": cut,
    "changed": change,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["index.json", "replicated.h5", "vertices-00001.h5", "trainer-00001.h5"]
)
def test_a_damaged_file_is_named(tmp_path, name, damage):
    path = write(tmp_path, owned=[ALL[:9], ALL[9:]])
    read(path, trainer=1)
    DAMAGES[damage](path / name)
    said = "is missing" if damage == "missing" else "is damaged, not as it was written"
    with pytest.raises(StoreError, match=f"^{path / name} {said}: copy {path} again, or remove it"):
        read(path, trainer=1)


def test_another_number_in_the_index_is_noticed(tmp_path):
    path = write(tmp_path, 4, 7) / "index.json"
    path.write_text(path.read_text().replace('"step": 7', '"step": 8'))
    with pytest.raises(StoreError, match="damaged"):
        read_index(path.parent)


def test_an_index_of_a_newer_version_is_not_called_damaged(tmp_path):
    path = write(tmp_path) / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 3}))
    with pytest.raises(StoreError, match="format version 3, this batchgnn reads up to 2"):
        read_index(path.parent)


def test_a_checkpoint_of_one_file_is_of_an_older_version(tmp_path):
    assert not has_checkpoint(tmp_path)
    with pytest.raises(StoreError, match="no checkpoint to resume from"):
        newest_checkpoint(tmp_path)
    (tmp_path / "epoch-000001-step-00000000.h5").write_bytes(b"")
    assert has_checkpoint(tmp_path)
    with pytest.raises(StoreError, match=r"000\.h5 is a checkpoint of an older batchgnn"):
        newest_checkpoint(tmp_path)
    path = write(tmp_path, 0, 1)
    assert newest_checkpoint(tmp_path) == path


def test_an_index_names_no_file_outside_of_its_folder():
    with pytest.raises(StoreError, match="no files of kind"):
        _ = StateFile("../../trainer", 0, {}, [], 0, "").name


def test_other_shards_are_refused(tmp_path):
    refuse_other_shards(tmp_path, "f" * 64, "f" * 64)
    with pytest.raises(StoreError, match="was trained on shards ffffffffffff, not on these"):
        refuse_other_shards(tmp_path, "f" * 64, "e" * 64)


def test_a_vertex_that_no_rank_wrote_is_named(tmp_path):
    path = write(tmp_path, owned=[ALL[:9], ALL[12:]])
    assert_same(read(path, ALL[3:9]).by_vertex, rows_of(ALL[3:9]))
    with pytest.raises(StoreError, match="has no state of vertex 9: it is not whole"):
        read(path)


def test_files_that_do_not_fit_together_get_no_name(tmp_path):
    with pytest.raises(ValueError, match="two ranks own the same vertex"):
        write(tmp_path, owned=[ALL[:10], ALL[9:]])
    part = part_path(tmp_path, 0, 1)
    begin_checkpoint(part)
    with pytest.raises(ValueError, match="memory has 23 rows for 22 own vertices"):
        write_state(part, state_of(ALL), ALL[1:], 0, speaks_for_trainer=True)
    files = [
        write_state(part, ModeState(by_vertex=arrays), ids, rank, speaks_for_trainer=False)[0]
        for rank, (ids, arrays) in enumerate(
            [(ALL[:1], {"x": np.ones(1)}), (ALL[1:2], {"x": np.ones((1, 2))})]
        )
    ]
    with pytest.raises(ValueError, match="different arrays by vertex"):
        finish_checkpoint(part, Index("f", {}, {}, files), keep=1)
    (part / "vertices-00000.h5").unlink()
    with pytest.raises(StoreError, match=r"vertices-00000\.h5 .* a disk that all hosts share"):
        finish_checkpoint(part, Index("f", {}, {}, files[:1]), keep=1)
    assert checkpoints_in(tmp_path) == []


def test_a_state_is_taken_if_it_has_the_arrays_that_are_kept():
    require_like(state_of(ALL), state_of(ALL, tag=3), "here")
    nobody = state_of(ALL)
    nobody.by_trainer = {}
    require_like(nobody, state_of(ALL), "here")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("replicated", "parameters", np.float32(1)),
        ("replicated", "parameters", np.zeros(8, np.float32)),
        ("replicated", "parameters", np.zeros(7)),
        ("replicated", "parameters", None),
        ("replicated", "more", np.zeros(7)),
        ("by_vertex", "last", np.zeros((NUM_VERTICES, 1), np.uint16)),
        ("by_trainer", "moment", np.zeros(4)),
        ("scalars", "rate", "0.1"),
        ("scalars", "optimizer_steps", None),
    ],
)
def test_a_state_of_another_model_is_refused(part, name, value):
    state = state_of(ALL)
    arrays = getattr(state, part) | {name: value}
    setattr(state, part, {k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(StoreError, match=f"here: .*{name}|needed .*{name}"):
        require_like(state, state_of(ALL), "here")
