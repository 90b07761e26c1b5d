"""The run folder and its best model: nothing overwritten, nothing half written, damage named."""

import errno
import json
import math

import h5py
import numpy as np
import pytest

from batchgnn.base.errors import StoreError
from batchgnn.modes.assembly import settings_of
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_state import Pulse
from batchgnn.run.training_state import TrainingState, require_progress
from batchgnn.store import model_file
from batchgnn.store.checkpoint import Index, begin_checkpoint, finish_checkpoint, part_path
from batchgnn.store.model_file import SavedModel, read_model, write_model
from batchgnn.tasks.score import Score


def make(epoch=0):
    parameters = np.random.default_rng(epoch).normal(size=7).astype(np.float32)
    return SavedModel(parameters, epoch, "f" * 64)


def scores(val, test=0.25, name="accuracy"):
    return {"val": [Score(name, val)], "test": [Score(name, test)]}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.open(resume=False)
    return folder


def names(path):
    return sorted(each.name for each in path.iterdir())


def test_a_model_survives_writing_and_reading(folder):
    folder.write_model(make(2))
    folder.write_model(make(3))
    read, written = folder.read_model(), make(3)
    assert (read.epoch, read.fingerprint) == (written.epoch, written.fingerprint)
    assert read.parameters.dtype == written.parameters.dtype
    np.testing.assert_array_equal(read.parameters, written.parameters)
    assert names(folder.path) == ["model.h5"]


def test_a_failure_while_writing_leaves_the_older_one(folder, monkeypatch):
    folder.write_model(make(1))
    before = (folder.path / "model.h5").read_bytes()

    def fail(beside, name):
        file = h5py.File(beside, "x")
        file.close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_file, "create_store", fail)
    with pytest.raises(StoreError, match="no room to write it"):
        folder.write_model(make(2))
    assert names(folder.path) == ["model.h5"]
    assert (folder.path / "model.h5").read_bytes() == before


@pytest.mark.parametrize("length", [0, 100, 1000, -1])
def test_a_damaged_model_is_named(tmp_path, length):
    path = tmp_path / "model.h5"
    write_model(path, make())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StoreError, match=f"{path} is (damaged|truncated|no HDF5 file)"):
        read_model(path)


def test_a_flipped_bit_of_a_model_is_noticed(tmp_path):
    path = tmp_path / "model.h5"
    write_model(path, make())
    written = path.read_bytes()
    assert len(written) < 8000
    for bit in range(0, 8 * len(written), 61):  # 61: each byte of a weight has its turn
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(StoreError, match=r"model\.h5"):
            read_model(path)


def test_a_model_from_before_models_had_a_seal_is_read(tmp_path):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs.update({"format": "batchgnn-checkpoint", "format_version": 1})
        file.attrs.update({"fingerprint": "f" * 64, "progress.epoch": 2})
        file["parameters"] = make(2).parameters
    np.testing.assert_array_equal(read_model(tmp_path / "model.h5").parameters, make(2).parameters)


def test_a_file_of_another_kind_is_no_model(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "batchgnn-graph"
    with pytest.raises(StoreError, match="is no model of a run"):
        read_model(path)


def through_json(progress):
    return Index.from_json(Index("f", progress, {}, []).to_json(), "index.json").progress


def test_progress_of_training_survives():
    state = TrainingState(np.ones(7, np.float32), epoch=2, step=5, loss_sum=0.1, num_seeds=3)
    state.epoch_seconds = [1.25, 0.5]
    state.offer(scores(0.5, math.nan), np.full(7, 2, np.float32))
    progress = through_json(state.progress(loss_sum=0.7, num_seeds=21))
    for keep_sums, sums in ((True, (0.7, 21)), (False, (0.0, 0))):
        again = TrainingState.resumed(progress, state.best_parameters, keep_sums=keep_sums)
        assert (again.loss_sum, again.num_seeds) == sums
        np.testing.assert_equal(again.best, {"val_accuracy": 0.5, "test_accuracy": math.nan})
        same = {**vars(again), "loss_sum": 0.1, "num_seeds": 3, "best": state.best}
        np.testing.assert_array_equal(same.pop("best_parameters"), np.full(7, 2))
        assert same == {k: v for k, v in vars(state).items() if k != "best_parameters"}


DAMAGED_PROGRESS = {
    "no best": ("best", None, "best is missing"),
    "best without its validation": ("best", {"test_accuracy": 0.25}, "best is"),
    "best that nobody scored": ("best", {}, r"best is \{\} in epoch 3"),
    "a word": ("epoch", "3", "epoch is '3'"),
    "below 0": ("step", -1, "step is -1"),
    "seconds of another run": ("epoch_seconds", [1.0], "epoch_seconds is"),
    "another key": ("best_val", 0.5, "it has best_val"),
}


@pytest.mark.parametrize(("key", "value", "said"), DAMAGED_PROGRESS.values(), ids=DAMAGED_PROGRESS)
def test_progress_that_no_training_wrote_is_refused(key, value, said):
    state = TrainingState(np.ones(7, np.float32), epoch=2, step=5, epoch_seconds=[1.25, 0.5])
    state.offer(scores(0.5), np.full(7, 2, np.float32))
    progress = through_json(state.progress(loss_sum=0.7, num_seeds=21))
    require_progress(progress, "here")
    progress = {k: v for k, v in (progress | {key: value}).items() if v is not None}
    with pytest.raises(StoreError, match=f"here is damaged: {said}"):
        require_progress(progress, "here")


def test_a_state_without_an_evaluation_survives():
    state = TrainingState(np.ones(2, np.float32))
    progress = through_json(state.progress(loss_sum=0.0, num_seeds=0))
    again = TrainingState.resumed(progress, state.best_parameters, keep_sums=True)
    assert (again.best, again.best_epoch) == ({}, 0)
    again.offer(scores(-1.0), np.zeros(2, np.float32))
    assert again.best_epoch == 1


def test_the_best_is_the_first_of_equals_and_the_last_without_validation():
    state, offered = TrainingState(np.zeros(1)), []
    for epoch, val in enumerate([0.5, 0.5, 0.6, 0.1, 0.2]):
        state.epoch = epoch
        state.offer(scores(val), np.array([float(epoch)]))
        offered.append((state.best_epoch, state.best_parameters[0], state.stale_evaluations))
    assert offered == [(1, 0, 0), (1, 0, 1), (3, 2, 0), (3, 2, 1), (3, 2, 2)]
    without = TrainingState(np.zeros(1))
    for epoch in range(3):
        without.epoch = epoch
        without.offer(scores(math.nan), np.array([float(epoch)]))
    assert (without.best_epoch, without.best_parameters[0]) == (3, 2)


def test_of_errors_the_least_is_the_best():
    state = TrainingState(np.zeros(1))
    for epoch, val in enumerate([0.5, 0.3, 0.4]):
        state.epoch = epoch
        state.offer(scores(val, name="rmse"), np.array([float(epoch)]))
    assert (state.best_epoch, state.best["val_rmse"], state.best_parameters[0]) == (2, 0.3, 1)


def test_a_folder_with_files_is_not_written_over(tmp_path, folder):
    (folder.path / "notes").write_text("mine")
    with pytest.raises(StoreError, match=r"nothing is written over\. Add --resume"):
        RunFolder(folder.path).open(resume=False)
    with pytest.raises(StoreError, match="holds no run to resume"):
        RunFolder(folder.path).open(resume=True)
    with pytest.raises(StoreError, match="is no run folder"):
        folder.settings()


def test_a_job_that_ended_before_it_wrote_anything_may_begin_again(folder):
    RunFolder(folder.path).open(resume=False)


def test_settings_are_read_again(tmp_path, folder):
    settings = settings_of(hidden=5, fanouts=(1, 2, 3))
    folder.write_settings(tmp_path / "shards", settings)
    assert folder.shards_and_settings() == (tmp_path / "shards", settings)
    RunFolder(folder.path).open(resume=True)
    assert names(folder.path) == ["config.toml"]


def test_other_shards_are_refused(folder):
    folder.write_model(make(1))
    assert folder.read_model("f" * 64).epoch == 1
    with pytest.raises(StoreError, match="was trained on shards ffffffffffff, not on these"):
        folder.read_model("e" * 64)


def test_a_missing_model_is_named(folder):
    with pytest.raises(StoreError, match=r"model\.h5 is missing: train at least one epoch"):
        folder.read_model()


def test_metrics_of_epochs_to_come_are_cut(folder):
    folder.cut_metrics(3)
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch, "loss": 0.1 * epoch, "val": math.nan})
    path = folder.path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[0]) == {"epoch": 1, "loss": 0.1, "val": None}
    path.write_text(path.read_text() + '{"epoch": 4, "lo')
    folder.cut_metrics(2)
    folder.append_metrics({"epoch": 3, "loss": 7})
    again = path.read_text().splitlines()
    assert again[:2] == lines[:2]
    assert json.loads(again[2]) == {"epoch": 3, "loss": 7}
    assert len(again) == 3


def test_a_result_has_no_infinities_and_says_the_versions(folder):
    values = {"metric": "accuracy", "val_accuracy": -math.inf, "test_accuracy": math.nan}
    folder.write_result({**values, "best_epoch": 0, "epoch_seconds": [1.0, math.nan]})
    result = json.loads((folder.path / "result.json").read_text())
    assert result["val_accuracy"] is result["test_accuracy"] is result["epoch_seconds"][1] is None
    assert result["versions"]["numpy"] == np.__version__
    assert "best epoch 0: validation accuracy None" in folder.summary()
    assert names(folder.path) == ["result.json"]


def test_a_disk_too_full_for_where_the_run_is_is_named(folder, monkeypatch):
    """While it trains nobody cares: a checkpoint will tell."""

    def full(path, text):
        path.open("w").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(StoreError, match=r"job\.json: no room to write it"):
        folder.note_job(2, "n1", epochs=9)
    Pulse(folder.path, 3).beat(1, 2, 10)
    assert names(folder.path) == []


def test_what_a_killed_job_left_half_written_is_no_run(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".config.toml.1234abcd.part").write_text("half")
    RunFolder(out).open(resume=False)
    (out / "config.toml").write_text("whole")
    with pytest.raises(StoreError, match="nothing is written over"):
        RunFolder(out).open(resume=False)


def test_a_run_is_begun_with_its_first_checkpoint_and_its_next_job_forgets_the_stop(folder):
    (folder.path / "config.toml").write_text("")
    (folder.path / "metrics.jsonl").write_text("{}\n")
    assert not folder.is_begun()
    part = part_path(folder.checkpoints, 1, 0)
    begin_checkpoint(part)
    assert not folder.is_begun()
    finish_checkpoint(part, Index("f", {}, {}, []), keep=2)
    assert folder.is_begun()
    folder.note_stop(True, epoch=0, step=7)
    note = json.loads((folder.path / "stopped.json").read_text())
    assert (note["requeue"], note["epoch"], note["step"]) == (True, 0, 7)
    folder.open(resume=True)
    assert (folder.path / "stopped.json").exists(), "a resume may still be refused"
    folder.note_job(1, "here", epochs=9)
    assert not (folder.path / "stopped.json").exists()
