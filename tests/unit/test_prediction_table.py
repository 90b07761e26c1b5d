"""Predictions as tables: CSV and Parquet have the rows of the HDF5 file, with names of classes."""

import csv
from types import SimpleNamespace

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.store import prediction_table
from batchgnn.store.prediction import create_prediction, publish_prediction, write_slab
from batchgnn.store.prediction_table import check_name

CHANCES = np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]], np.float32)
IDS = np.array([b"a", "zä".encode(), b'quote"d, one'])
OF = {
    "one class each": ("multiclass", {"probability": CHANCES, "original_id": IDS}),
    "several classes": ("multilabel", {"probability": CHANCES, "original_id": IDS}),
    "numbers": ("regression", {"number": CHANCES[:, 0], "original_id": np.array([7, -1, 2**40])}),
    "rows of a layer": ("multiclass", {"embedding": CHANCES, "original_id": IDS}),
    "pairs": ("events", {"probability": CHANCES[:, 0]}),
    "no rows": ("multiclass", {"probability": CHANCES[:0], "original_id": IDS[:0]}),
}
EXPECTED = {
    "one class each": {
        "original_id": ["a", "zä", 'quote"d, one'],
        "predicted": ["red", "red", "blue, or so"],
        "probability_red": [0.75, 0.5, 0.125],
        "probability_blue, or so": [0.25, 0.5, 0.875],
    },
    "several classes": {
        "original_id": ["a", "zä", 'quote"d, one'],
        "probability_red": [0.75, 0.5, 0.125],
        "probability_blue, or so": [0.25, 0.5, 0.875],
    },
    "numbers": {"original_id": [7, -1, 2**40], "number": [0.75, 0.5, 0.125]},
    "rows of a layer": {
        "original_id": ["a", "zä", 'quote"d, one'],
        "embedding_0": [0.75, 0.5, 0.125],
        "embedding_1": [0.25, 0.5, 0.875],
    },
    "pairs": {"probability": [0.75, 0.5, 0.125]},
    "no rows": {
        "original_id": [],
        "predicted": [],
        "probability_red": [],
        "probability_blue, or so": [],
    },
}


def written(path, case):
    """The file, of rows written in two slabs."""
    task, columns = OF[case]
    manifest = SimpleNamespace(name="g", task=task, class_names=["red", "blue, or so"])
    create_prediction(path, "run", manifest, {k: (v.dtype, v.shape) for k, v in columns.items()})
    for name, rows in columns.items():
        write_slab(path, name, 0, rows[:1])
        write_slab(path, name, 1, rows[1:])
    publish_prediction(path)
    assert list(path.parent.iterdir()) == [path]
    return path


@pytest.mark.parametrize("case", OF)
def test_a_table_has_the_rows_and_names_of_the_file(case, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_table, "CHUNK_CELLS", 6)  # two rows at a time
    expected = EXPECTED[case]
    table = parquet.read_table(written(tmp_path / "p.parquet", case))
    assert table.to_pydict() == expected
    assert table.column_names == list(expected)
    (tmp_path / "p.parquet").unlink()
    with written(tmp_path / "p.csv", case).open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == list(expected)
    assert rows == [list(map(str, row)) for row in zip(*expected.values(), strict=True)]


def test_the_file_of_hdf5_says_what_its_columns_are(tmp_path):
    with h5py.File(written(tmp_path / "p.h5", "one class each")) as file:
        assert [name.decode() for name in file["class_name"]] == ["red", "blue, or so"]
        np.testing.assert_array_equal(file["probability"], CHANCES)


def test_other_endings_are_refused_before_anything_is_computed(tmp_path):
    for name in ("p", "p.h5", "p.hdf5", "p.csv", "p.parquet"):
        check_name(tmp_path / name)
    with pytest.raises(ConfigError, match=r"p\.txt: .* ends in \.h5, \.csv or \.parquet"):
        check_name(tmp_path / "p.txt")
