"""`convert edges`: small tables in CSV and Parquet, ids of every kind, in bounded memory."""

import csv
import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from converters import EDGES, NUMBERED, VERTICES, edges_of, of_tables, write_tables

import batchgnn
from batchgnn.base.errors import ConfigError, DataError, StoreError
from batchgnn.data import tables
from batchgnn.data.convert_edges import convert_edges
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.store.graph_store import GraphStore

ROOT = Path(batchgnn.__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    return write_tables(tmp_path)


@pytest.mark.parametrize("cells", [1, 6, 1 << 18])
def test_text_ids_features_labels_and_split(folder, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    graph = of_tables(folder)
    assert edges_of(graph) == [(1, 0), (0, 2)]
    assert [name.decode() for name in graph.read_names()] == ["bob", "ann", "zoë", "eve"]
    assert graph.read_features().tolist() == [[1, 0.25], [2, 0.5], [3, 0.75], [4, 1]]
    assert graph.read_labels().tolist() == [0, 1, -1, -1]
    assert graph.read_split().tolist() == [[1], [2], [3], [0]]
    assert (graph.name, graph.directed, graph.weighted, graph.num_classes) == (
        "edges",
        False,
        False,
        2,
    )


def test_chosen_columns_and_weights(folder):
    graph = of_tables(folder, weight="weight", features=("height",), arcs="directed")
    assert edges_of(graph) == [(1, 0, 0.5), (0, 2, 2.0)]
    assert graph.directed
    assert graph.read_features().tolist() == [[0.25], [0.5], [0.75], [1]]


def test_columns_of_edges_that_are_not_used_are_named(folder):
    options = EdgeListOptions(vertices=(folder / "vertices.csv",))
    said = convert_edges(folder / "edges.csv", folder / "g.h5", options, show=False)
    assert "columns of the edges not used: weight" in str(said)


def test_integer_ids_are_kept_unless_they_are_the_rows(folder):
    (folder / "edges.csv").write_text("70 5\n5 -3\n")
    (folder / "vertices.csv").write_text("id,a\n5,1\n-3,2\n70,3\n")
    graph = of_tables(folder)
    assert edges_of(graph) == [(2, 0), (0, 1)]
    assert graph.read_names().tolist() == [5, -3, 70]
    (folder / "vertices.csv").write_text("id,a\n0,1\n1,2\n2,3\n")
    (folder / "edges.csv").write_text("1 0\n0 2\n")
    graph = of_tables(folder, out="rows.h5")
    assert edges_of(graph) == [(1, 0), (0, 2)]
    assert graph.read_names() is None


@pytest.mark.parametrize("cells", [2, 1 << 18])
def test_without_a_vertex_table_the_vertices_are_those_of_the_edges(folder, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    (folder / "text.csv").write_text("10,7\n7,x\nx,07\n")
    graph = of_tables(folder, "text.csv", vertices=None, header=False)
    assert graph.read_names().tolist() == [b"07", b"10", b"7", b"x"]
    assert edges_of(graph) == [(1, 2), (2, 3), (3, 0)]
    assert graph.num_features == 0
    assert graph.read_labels().tolist() == [-1] * 4
    (folder / "numbers.csv").write_text("10,7\n7,9\n")
    graph = of_tables(folder, "numbers.csv", "numbers.h5", vertices=None)
    assert graph.read_names().tolist() == [7, 9, 10]
    assert edges_of(graph) == [(2, 0), (0, 1)]
    (folder / "rows.csv").write_text("1,0\n0,2\n")
    assert of_tables(folder, "rows.csv", "rows.h5", vertices=None).read_names() is None


TEXTS = {
    "tabs": "ann\tbob\nbob\tzoë\n",
    "comments and spaces": "# SNAP\n# from to\nann  bob\nbob zoë\n",
    "semicolons and CRLF": "ann;bob\r\nbob;zoë\r\n",
    "quotes and a blank end": '"ann","bob"\n"bob","zoë"\n\n\n',
    "a byte order mark": "\ufeffann,bob\nbob,zoë\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_text_file(text, packed, folder):
    raw, name = text.encode(), "e.txt.gz" if packed else "e.txt"
    (folder / name).write_bytes(gzip.compress(raw) if packed else raw)
    graph = of_tables(folder, name, vertices=None, header=False)
    assert [name.decode() for name in graph.read_names()] == ["ann", "bob", "zoë"]
    assert edges_of(graph) == [(0, 1), (1, 2)]


def test_columns_named_otherwise(folder):
    (folder / "edges.csv").write_text("w,begin,end\n1,ann,bob\n3,bob,eve\n")
    (folder / "vertices.csv").write_text("f,who,y,part\n1,ann,0,0\n2,bob,1,1\n3,eve,2,3\n")
    graph = of_tables(
        folder,
        source="begin",
        target="end",
        weight="w",
        id="who",
        label=("y",),
        split_column="part",
    )
    assert edges_of(graph) == [(0, 1, 1.0), (1, 2, 3.0)]
    assert graph.read_features().tolist() == [[1], [2], [3]]
    assert graph.read_split().tolist() == [[0], [1], [3]]


def test_classes_by_name_and_several_labels(folder):
    (folder / "vertices.csv").write_text("id,label\nann,red\nbob,\nzoë,blue\neve,red\n", "utf-8")
    graph = of_tables(folder)
    assert graph.class_names == ["blue", "red"]
    assert graph.read_labels().tolist() == [1, -1, 0, 1]
    (folder / "vertices.csv").write_text("id,a,b,x\nann,0,1,5\nbob,1,1,6\nzoë,0,0,7\n", "utf-8")
    graph = of_tables(folder, out="multi.h5", label=("a", "b"))
    assert graph.task == "multilabel"
    assert graph.read_labels().tolist() == [[0, 1], [1, 1], [0, 0]]
    assert graph.read_features().tolist() == [[5], [6], [7]]


def test_a_random_split_replaces_the_column_when_asked(folder):
    graph = of_tables(folder, split=(1.0, 0.0, 0.0))
    assert graph.read_split().tolist() == [[1], [1], [0], [0]]  # the last two have no label


def test_both_directions_are_stored_once(folder):
    (folder / "edges.csv").write_text("0,1\n1,0\n2,1\n1,2\n2,2\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    said = convert_edges(
        *(folder / "edges.csv", folder / "g.h5"),
        EdgeListOptions(vertices=(folder / "vertices.csv",), arcs="both"),
        show=False,
    )
    assert "1 self-loops dropped" in str(said)
    assert edges_of(GraphStore(folder / "g.h5")) == [(0, 1), (1, 2)]
    with pytest.raises(DataError, match=r"every edge is listed in both directions.* --arcs both"):
        of_tables(folder, out="h.h5")
    assert edges_of(of_tables(folder, out="once.h5", arcs="once")) == [
        (0, 1),
        (1, 0),
        (2, 1),
        (1, 2),
    ]


def test_a_missing_direction_is_named(folder):
    (folder / "edges.csv").write_text("0,1\n1,0\n2,1\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    with pytest.raises(DataError, match=r"edges\.csv: the edge 2 -> 1 has no reverse 1 -> 2"):
        of_tables(folder, arcs="both")


# --- Parquet -------------------------------------------------------------------------------------


def parquet(csv_text, path, types=None):
    """The CSV text as a Parquet file, with columns of the types that pyarrow infers, or given."""
    arrow_csv = pytest.importorskip("pyarrow.csv", reason="needs pyarrow (parquet extra)")
    import io

    from pyarrow import parquet as pq

    options = arrow_csv.ConvertOptions(column_types=types or {}, strings_can_be_null=True)
    table = arrow_csv.read_csv(io.BytesIO(csv_text.encode()), convert_options=options)
    pq.write_table(table, path, row_group_size=3)


@pytest.mark.parametrize("cells", [2, 1 << 18])
def test_parquet_gives_what_csv_gives(folder, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    parquet(EDGES, folder / "edges.parquet")
    parquet(VERTICES, folder / "vertices.parquet")
    one = of_tables(folder, weight="weight")
    two = of_tables(
        folder, "edges.parquet", "p.h5", vertices=folder / "vertices.parquet", weight="weight"
    )
    assert edges_of(one) == edges_of(two)
    for read in ("read_features", "read_labels", "read_split", "read_names"):
        np.testing.assert_array_equal(getattr(one, read)(), getattr(two, read)())


def test_parquet_with_integer_ids(folder):
    parquet("source,target\n5,9\n9,7\n", folder / "edges.parquet")
    graph = of_tables(folder, "edges.parquet", vertices=None)
    assert graph.read_names().tolist() == [5, 7, 9]
    assert edges_of(graph) == [(0, 2), (2, 1)]


def test_bad_parquet(folder):
    parquet("source,target\nann,\n", folder / "edges.parquet")
    with pytest.raises(DataError, match=r"edges\.parquet, row 1: vertex \(empty\) is not in"):
        of_tables(folder, "edges.parquet")
    parquet("id,x\nann,1\nbob,\n", folder / "v.parquet")
    with pytest.raises(DataError, match=r"v\.parquet, row 2, column x: the cell is empty"):
        of_tables(folder, vertices=folder / "v.parquet")
    parquet("id,x\nann,one\nbob,two\n", folder / "v.parquet")
    with pytest.raises(DataError, match=r"v\.parquet, row 1, column x: the cell is 'one'"):
        of_tables(folder, vertices=folder / "v.parquet")
    (folder / "edges.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="no Parquet file, or damaged"):
        of_tables(folder, "edges.parquet")


def test_parquet_without_pyarrow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (folder / "edges.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pip install 'batchgnn\[parquet\]'"):
        of_tables(folder, "edges.parquet")


def test_nothing_is_overwritten(folder):
    (folder / "g.h5").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        of_tables(folder)
    assert (folder / "g.h5").read_text() == "mine"


MEASURE = """
    import resource, sys
    from batchgnn.data.convert_edges import EdgeListOptions, convert_edges
    convert_edges("small.csv", "small.h5", EdgeListOptions(), show=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    convert_edges("large.csv", "large.h5", EdgeListOptions(), show=False)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_stays_bounded_while_converting(tmp_path):
    (tmp_path / "small.csv").write_text("1,2\n2,3\n")
    rng = np.random.default_rng(0)
    with (tmp_path / "large.csv").open("w", newline="") as file:
        for _ in range(20):
            csv.writer(file).writerows(rng.integers(0, 50_000, (100_000, 2)).tolist())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert GraphStore(tmp_path / "large.h5").num_edges > 1_999_000
    assert int(done.stdout) < 100e6  # 2 M rows as Python text would take 400 MB
