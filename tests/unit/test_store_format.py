"""Outputs appear whole or not at all, and checksums are of the bytes."""

import hashlib
import os

import numpy as np
import pytest

from batchgnn.base.errors import StoreError
from batchgnn.store import format as store_format
from batchgnn.store.format import atomic_file, atomic_folder, checksum, create_aligned, create_store


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(StoreError, match="exists already"), atomic_file(path) as beside:
        beside.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_file_overwrites_when_told(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with atomic_file(path, overwrite=True) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_atomic_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "deep" / "shards") as beside:
        (beside / "a").write_text("a")
        assert not (tmp_path / "deep" / "shards").exists()
    assert os.listdir(tmp_path / "deep" / "shards") == ["a"]
    with pytest.raises(KeyError), atomic_folder(tmp_path / "b") as beside:
        (beside / "a").write_text("a")
        raise KeyError
    assert os.listdir(tmp_path) == ["deep"]


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is no folder"), atomic_file(tmp_path / "file" / "out"):
        pass


def test_checksums_are_blake2b_of_the_bytes_whatever_holds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(store_format, "CHECKSUM_CHUNK_BYTES", 40)
    values = np.random.default_rng(0).normal(size=(17, 3)).astype(np.float32)
    expected = hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()
    assert checksum(values) == expected
    with create_store(tmp_path / "s.h5", "any") as file:
        create_aligned(file, "a/b", values.shape, values.dtype)[...] = values
        assert checksum(file["a/b"]) == expected
    values[16, 2] += 1
    assert checksum(values) != expected
    assert checksum(np.empty((0, 3))) == hashlib.blake2b(b"", digest_size=16).hexdigest()
