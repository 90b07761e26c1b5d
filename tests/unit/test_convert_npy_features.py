"""`convert edges --features-npy`: features that are copied, or linked where they lie."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from converters import of_tables, write_tables

from batchgnn.base.errors import DataError
from batchgnn.store.graph_store import GraphStore


@pytest.fixture
def folder(tmp_path):
    return write_tables(tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int16])
def test_features_of_an_npy_file_are_copied(dtype, folder):
    x = np.arange(20).reshape(4, 5).astype(dtype)
    np.save(folder / "x.npy", x)
    graph = of_tables(folder, features_npy=folder / "x.npy")
    np.testing.assert_array_equal(graph.read_features(), x)
    assert graph.feature_dtype == np.float32
    assert graph.read_labels().tolist() == [0, 1, -1, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_features_of_an_npy_file_are_linked(dtype, folder, monkeypatch):
    x = np.arange(40_000).reshape(4, 10_000).astype(dtype)
    np.save(folder / "x.npy", x)
    monkeypatch.chdir(folder)
    graph = of_tables(folder, features_npy=Path("x.npy"), link_features=True)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(GraphStore(graph.path).read_features(slice(1, 3)), x[1:3])
    assert graph.feature_dtype == dtype
    assert graph.path.stat().st_size < x.nbytes / 2
    with h5py.File(graph.path) as file:
        assert file["vertex/features"].external == [(str(folder / "x.npy"), 128, x.nbytes)]
        np.testing.assert_array_equal(file["vertex/features"][...], x)


def test_without_a_vertex_table_the_rows_of_the_npy_file_are_the_vertices(folder):
    np.save(folder / "x.npy", np.zeros((5, 2), np.float32))
    (folder / "edges.csv").write_text("0,4\n2,1\n")
    graph = of_tables(folder, vertices=None, features_npy=folder / "x.npy")
    assert graph.num_vertices == 5
    (folder / "edges.csv").write_text("0,4\n2,5\n")
    with pytest.raises(DataError, match=r"edges\.csv, row 2: vertex 5 is out of range"):
        of_tables(folder, out="h.h5", vertices=None, features_npy=folder / "x.npy")


ARRAYS = {
    "row 2, column 1: feature is nan": np.array([[0, 0], [0, 0], [0, np.nan], [0, 0]], "f4"),
    "has 3 rows, .* has 4 vertices": np.zeros((3, 2), np.float32),
    r"float32 \(4,\), needed numbers": np.zeros(4, np.float32),
    r"stored by columns": np.zeros((4, 2), np.float32, order="F"),
    r"<U1 \(4, 2\), needed numbers": np.full((4, 2), "a"),
}


@pytest.mark.parametrize("said", ARRAYS)
@pytest.mark.parametrize("link", [False, True])
def test_bad_npy_files(said, link, folder):
    np.save(folder / "x.npy", ARRAYS[said])
    with pytest.raises(DataError, match=said):
        of_tables(folder, features_npy=folder / "x.npy", link_features=link)
    assert not (folder / "g.h5").exists()


def test_npy_files_that_cannot_be_linked_or_read(folder):
    np.save(folder / "x.npy", np.zeros((4, 2)))
    with pytest.raises(DataError, match="<f8: only native float32 or float16 can be linked"):
        of_tables(folder, features_npy=folder / "x.npy", link_features=True)
    (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match="truncated: 184 bytes, needed 192"):
        of_tables(folder, features_npy=folder / "x.npy")
    (folder / "x.npy").write_text("hello")
    with pytest.raises(DataError, match=r"no array of numpy's \.npy format"):
        of_tables(folder, features_npy=folder / "x.npy")
    with pytest.raises(DataError, match=r"does not exist: needed an \.npy file"):
        of_tables(folder, features_npy=folder / "y.npy")
