"""Tables of several files: folders, and files that are given; read one after another, as said."""

import gzip

import numpy as np
import pytest
from converters import edges_of, of_tables

from batchgnn.base.errors import DataError
from batchgnn.data import tables
from batchgnn.data.cli import app
from batchgnn.data.convert_events import convert_events
from batchgnn.data.event_options import EventOptions
from batchgnn.store.graph_store import GraphStore

PARTS = {"b.csv": "source,target\n2,0\n", "a.csv": "source,target\n0,1\n1,2\n", "_SUCCESS": ""}
ROWS = {"1.csv": "id,f,label\n0,5,0\n1,6,1\n", "2.csv": "id,f,label\n2,7,0\n"}


@pytest.fixture
def folders(tmp_path):
    """Edges and vertices, a folder each."""
    for name, files in (("edges", PARTS), ("vertices", ROWS)):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    return tmp_path


@pytest.mark.parametrize("cells", [2, 1 << 18])
def test_folders_are_read_by_the_names_of_their_files(folders, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    graph = of_tables(folders, "edges", vertices=folders / "vertices", arcs="directed")
    assert edges_of(graph) == [(0, 1), (1, 2), (2, 0)]
    assert graph.read_features().tolist() == [[5], [6], [7]]
    assert graph.name == "edges"
    assert graph.taken["files of the edges, in this order"] == ["a.csv", "b.csv"]
    assert graph.taken["files of the vertices, in this order"] == ["1.csv", "2.csv"]


def test_files_are_read_in_the_order_given_packed_or_without_a_second_header(folders):
    packed = folders / "edges" / "b.csv"
    packed.write_bytes(gzip.compress(b"2,0\n"))
    files = [str(folders / "vertices" / name) for name in ("2.csv", "1.csv")]
    app(
        [*("convert", "edges", str(folders / "edges" / "a.csv"), str(folders / "g.h5")),
         *("--more", str(packed), "--vertices", *files, "--arcs", "directed")],
        result_action="return_value",
    )  # fmt: skip
    graph = GraphStore(folders / "g.h5")
    assert graph.read_names().tolist() == [2, 0, 1]
    assert edges_of(graph) == [(1, 2), (2, 0), (0, 1)]
    assert graph.read_features().tolist() == [[7], [5], [6]]


def test_an_error_names_the_file_and_its_row(folders):
    (folders / "edges" / "b.csv").write_text("source,target\n2,9\n")
    with pytest.raises(DataError, match=r"b\.csv, row 2: vertex 9 is out of range"):
        of_tables(folders, "edges", vertices=folders / "vertices")
    (folders / "vertices" / "2.csv").write_text("id,label,f\n2,0,7\n")
    with pytest.raises(DataError, match=r"2\.csv has the columns id, label, f, but .*1\.csv has"):
        of_tables(folders, "edges", vertices=folders / "vertices")
    (folders / "edges" / "more").mkdir()
    with pytest.raises(DataError, match=r"needed one of CSV or Parquet files \(found the folder"):
        of_tables(folders, "edges", vertices=None)


def test_lists_of_parquet_files_have_one_length(folders):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet comes with pyarrow")
    import pyarrow

    (folders / "p").mkdir()
    for first, width in ((0, 3), (2, 3), (4, 2)):
        kind = pyarrow.list_(pyarrow.float32(), width)
        x = pyarrow.array([[first + i] * width for i in range(2)], kind)
        table = pyarrow.table({"id": [first, first + 1], "x": x})
        parquet.write_table(table, folders / "p" / f"{first}.parquet")
    with pytest.raises(DataError, match=r"4\.parquet, column x: 2 numbers in a cell, needed 3"):
        of_tables(folders, "edges", vertices=folders / "p")
    (folders / "p" / "4.parquet").unlink()
    graph = of_tables(folders, "edges", vertices=folders / "p")
    np.testing.assert_array_equal(graph.read_features(), np.arange(4)[:, None] * np.ones(3))
    (folders / "p" / "notes.txt").write_text("a,b\n")
    with pytest.raises(DataError, match=r"nothing but Parquet files, or text \(found notes\.txt"):
        of_tables(folders, "edges", out="b.h5", vertices=folders / "p")


def test_events_come_in_several_files_too(tmp_path):
    (tmp_path / "a.csv").write_text("source,target,time\n0,1,5\n1,2,3\n")
    (tmp_path / "b.csv").write_text("source,target,time\n2,0,4\n2,1,9\n")
    options = EventOptions(more=(tmp_path / "b.csv",))
    said = str(convert_events(tmp_path / "a.csv", tmp_path / "g.h5", options, show=False))
    assert "3 vertices, 4 events" in said
    assert "files, in this order: a.csv, b.csv" in said
