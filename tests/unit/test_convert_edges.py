"""`convert edges`: small tables in CSV and Parquet, ids of every kind, and every refusal."""

import csv
import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

import batchgnn
from batchgnn.base.errors import ConfigError, DataError, StoreError
from batchgnn.data import tables
from batchgnn.data.convert_edges import EdgeListOptions, convert_edges
from batchgnn.store.graph_store import GraphStore

ROOT = Path(batchgnn.__file__).parents[1]

EDGES = """source,target,weight
ann,bob,0.5
bob,zoë,2
"""
VERTICES = """id,age,label,split,height
bob,1,0,train,0.25
ann,2,1,val,0.5
zoë,3,,test,0.75
eve,4,-1,none,1
"""
NUMBERED = VERTICES.replace("bob", "0").replace("ann", "1").replace("zoë", "2").replace("eve", "3")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "edges.csv").write_text(EDGES, encoding="utf-8")
    (tmp_path / "vertices.csv").write_text(VERTICES, encoding="utf-8")
    return tmp_path


def converted(folder, edges="edges.csv", out="g.h5", **options):
    options.setdefault("vertices", folder / "vertices.csv")
    convert_edges(folder / edges, folder / out, EdgeListOptions(**options), show=False)
    return GraphStore(folder / out)


def edges_of(graph):
    rows = []
    for source, target, weight in graph.iter_edges():
        columns = (source, target) if weight is None else (source, target, weight)
        rows += list(zip(*(c.tolist() for c in columns), strict=True))
    return rows


@pytest.mark.parametrize("cells", [1, 6, 1 << 18])
def test_text_ids_features_labels_and_split(folder, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    graph = converted(folder)
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
    graph = converted(folder, weight="weight", features=("height",), arcs="directed")
    assert edges_of(graph) == [(1, 0, 0.5), (0, 2, 2.0)]
    assert graph.directed
    assert graph.read_features().tolist() == [[0.25], [0.5], [0.75], [1]]


def test_columns_of_edges_that_are_not_used_are_named(folder):
    options = EdgeListOptions(vertices=folder / "vertices.csv")
    said = convert_edges(folder / "edges.csv", folder / "g.h5", options, show=False)
    assert "columns of the edges not used: weight" in str(said)


def test_integer_ids_are_kept_unless_they_are_the_rows(folder):
    (folder / "edges.csv").write_text("70 5\n5 -3\n")
    (folder / "vertices.csv").write_text("id,a\n5,1\n-3,2\n70,3\n")
    graph = converted(folder)
    assert edges_of(graph) == [(2, 0), (0, 1)]
    assert graph.read_names().tolist() == [5, -3, 70]
    (folder / "vertices.csv").write_text("id,a\n0,1\n1,2\n2,3\n")
    (folder / "edges.csv").write_text("1 0\n0 2\n")
    graph = converted(folder, out="rows.h5")
    assert edges_of(graph) == [(1, 0), (0, 2)]
    assert graph.read_names() is None


@pytest.mark.parametrize("cells", [2, 1 << 18])
def test_without_a_vertex_table_the_vertices_are_those_of_the_edges(folder, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", cells)
    (folder / "text.csv").write_text("10,7\n7,x\nx,07\n")
    graph = converted(folder, "text.csv", vertices=None, header=False)
    assert graph.read_names().tolist() == [b"07", b"10", b"7", b"x"]
    assert edges_of(graph) == [(1, 2), (2, 3), (3, 0)]
    assert graph.num_features == 0
    assert graph.read_labels().tolist() == [-1] * 4
    (folder / "numbers.csv").write_text("10,7\n7,9\n")
    graph = converted(folder, "numbers.csv", "numbers.h5", vertices=None)
    assert graph.read_names().tolist() == [7, 9, 10]
    assert edges_of(graph) == [(2, 0), (0, 1)]
    (folder / "rows.csv").write_text("1,0\n0,2\n")
    assert converted(folder, "rows.csv", "rows.h5", vertices=None).read_names() is None


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
    graph = converted(folder, name, vertices=None, header=False)
    assert [name.decode() for name in graph.read_names()] == ["ann", "bob", "zoë"]
    assert edges_of(graph) == [(0, 1), (1, 2)]


def test_columns_named_otherwise(folder):
    (folder / "edges.csv").write_text("w,begin,end\n1,ann,bob\n3,bob,eve\n")
    (folder / "vertices.csv").write_text("f,who,y,part\n1,ann,0,0\n2,bob,1,1\n3,eve,2,3\n")
    graph = converted(
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
    graph = converted(folder)
    assert graph.class_names == ["blue", "red"]
    assert graph.read_labels().tolist() == [1, -1, 0, 1]
    (folder / "vertices.csv").write_text("id,a,b,x\nann,0,1,5\nbob,1,1,6\nzoë,0,0,7\n", "utf-8")
    graph = converted(folder, out="multi.h5", label=("a", "b"))
    assert graph.task == "multilabel"
    assert graph.read_labels().tolist() == [[0, 1], [1, 1], [0, 0]]
    assert graph.read_features().tolist() == [[5], [6], [7]]


def test_a_random_split_replaces_the_column_when_asked(folder):
    graph = converted(folder, split=(1.0, 0.0, 0.0))
    assert graph.read_split().tolist() == [[1], [1], [0], [0]]  # the last two have no label


def test_both_directions_are_stored_once(folder):
    (folder / "edges.csv").write_text("0,1\n1,0\n2,1\n1,2\n2,2\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    said = convert_edges(
        *(folder / "edges.csv", folder / "g.h5"),
        EdgeListOptions(vertices=folder / "vertices.csv", arcs="both"),
        show=False,
    )
    assert "1 self-loops dropped" in str(said)
    assert edges_of(GraphStore(folder / "g.h5")) == [(0, 1), (1, 2)]
    with pytest.raises(DataError, match=r"every edge is listed in both directions.* --arcs both"):
        converted(folder, out="h.h5")
    assert edges_of(converted(folder, out="once.h5", arcs="once")) == [
        (0, 1),
        (1, 0),
        (2, 1),
        (1, 2),
    ]


def test_a_missing_direction_is_named(folder):
    (folder / "edges.csv").write_text("0,1\n1,0\n2,1\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    with pytest.raises(DataError, match=r"edges\.csv: the edge 2 -> 1 has no reverse 1 -> 2"):
        converted(folder, arcs="both")


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
    one = converted(folder, weight="weight")
    two = converted(
        folder, "edges.parquet", "p.h5", vertices=folder / "vertices.parquet", weight="weight"
    )
    assert edges_of(one) == edges_of(two)
    for read in ("read_features", "read_labels", "read_split", "read_names"):
        np.testing.assert_array_equal(getattr(one, read)(), getattr(two, read)())


def test_parquet_with_integer_ids(folder):
    parquet("source,target\n5,9\n9,7\n", folder / "edges.parquet")
    graph = converted(folder, "edges.parquet", vertices=None)
    assert graph.read_names().tolist() == [5, 7, 9]
    assert edges_of(graph) == [(0, 2), (2, 1)]


def test_bad_parquet(folder):
    parquet("source,target\nann,\n", folder / "edges.parquet")
    with pytest.raises(DataError, match=r"edges\.parquet, row 1: vertex \(empty\) is not in"):
        converted(folder, "edges.parquet")
    parquet("id,x\nann,1\nbob,\n", folder / "v.parquet")
    with pytest.raises(DataError, match=r"v\.parquet, row 2, column x: the cell is empty"):
        converted(folder, vertices=folder / "v.parquet")
    parquet("id,x\nann,one\nbob,two\n", folder / "v.parquet")
    with pytest.raises(DataError, match=r"v\.parquet, row 1, column x: the cell is 'one'"):
        converted(folder, vertices=folder / "v.parquet")
    (folder / "edges.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="no Parquet file, or damaged"):
        converted(folder, "edges.parquet")


def test_parquet_without_pyarrow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (folder / "edges.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pip install 'batchgnn\[parquet\]'"):
        converted(folder, "edges.parquet")


# --- features in an .npy file --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int16])
def test_features_of_an_npy_file_are_copied(dtype, folder):
    x = np.arange(20).reshape(4, 5).astype(dtype)
    np.save(folder / "x.npy", x)
    graph = converted(folder, features_npy=folder / "x.npy")
    np.testing.assert_array_equal(graph.read_features(), x)
    assert graph.feature_dtype == np.float32
    assert graph.read_labels().tolist() == [0, 1, -1, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_features_of_an_npy_file_are_linked(dtype, folder, monkeypatch):
    x = np.arange(40_000).reshape(4, 10_000).astype(dtype)
    np.save(folder / "x.npy", x)
    monkeypatch.chdir(folder)
    graph = converted(folder, features_npy=Path("x.npy"), link_features=True)
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
    graph = converted(folder, vertices=None, features_npy=folder / "x.npy")
    assert graph.num_vertices == 5
    (folder / "edges.csv").write_text("0,4\n2,5\n")
    with pytest.raises(DataError, match=r"edges\.csv, row 2: vertex 5 is out of range"):
        converted(folder, out="h.h5", vertices=None, features_npy=folder / "x.npy")


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
        converted(folder, features_npy=folder / "x.npy", link_features=link)
    assert not (folder / "g.h5").exists()


def test_npy_files_that_cannot_be_linked_or_read(folder):
    np.save(folder / "x.npy", np.zeros((4, 2)))
    with pytest.raises(DataError, match="<f8: only native float32 or float16 can be linked"):
        converted(folder, features_npy=folder / "x.npy", link_features=True)
    (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match="truncated: 184 bytes, needed 192"):
        converted(folder, features_npy=folder / "x.npy")
    (folder / "x.npy").write_text("hello")
    with pytest.raises(DataError, match=r"no array of numpy's \.npy format"):
        converted(folder, features_npy=folder / "x.npy")
    with pytest.raises(DataError, match=r"does not exist: needed an \.npy file"):
        converted(folder, features_npy=folder / "y.npy")


# --- refusals ------------------------------------------------------------------------------------

BAD_EDGES = {
    r"edges\.csv, row 3: vertex dan is not in the vertex table": EDGES.replace(
        "bob,zoë", "bob,dan"
    ),
    r"edges\.csv, row 3: 2 cells found, needed 3": EDGES.replace("zoë,2", "zoë"),
    r"edges\.csv, row 3: 0 cells found": EDGES.replace("0.5\n", "0.5\n\n"),
    "has one column, 'source'": "source\nann\n",
    "has no rows": "# nothing\n",
    r"row 3, column weight: the cell is 'x', needed a number": EDGES.replace("zoë,2", "zoë,x"),
    r"row 2, column weight: the cell is empty": EDGES.replace("0.5", ""),
    r"row 3: weight is nan": EDGES.replace("zoë,2", "zoë,nan"),
    r"row 2: weight is inf": EDGES.replace("0.5", "1e300"),
    "cannot be read": EDGES.replace("ann", '"ann'),
    "has no column 'weight' \\(--weight\\); found a, b": "a,b\nann,bob\n",
}


@pytest.mark.parametrize("said", BAD_EDGES)
def test_bad_edges_are_refused_with_file_and_row(said, folder):
    (folder / "edges.csv").write_text(BAD_EDGES[said], encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        converted(folder, weight="weight")
    assert "edges.csv" in str(caught.value)
    assert sorted(os.listdir(folder)) == ["edges.csv", "vertices.csv"]


BAD_VERTICES = {
    "rows 2 and 4: vertex bob is there twice": VERTICES.replace("zoë", "bob"),
    "row 3: the vertex has no id": VERTICES.replace("ann", ""),
    "row 3, column age: the cell is 'two'": VERTICES.replace("ann,2", "ann,two"),
    "row 4, column 1: feature is nan": VERTICES.replace("0.75", "nan"),
    "row 2, column 0: feature is inf": VERTICES.replace("bob,1", "bob,1e39"),
    "row 3: label -2 is out of range": VERTICES.replace("2,1,val", "2,-2,val"),
    "row 3: 4 cells found, needed 5": VERTICES.replace("val,0.5", "val"),
    "row 4, column split: 'tests' is no part": VERTICES.replace("test", "tests"),
}


@pytest.mark.parametrize("said", BAD_VERTICES)
def test_bad_vertices_are_refused_with_file_and_row(said, folder):
    (folder / "vertices.csv").write_text(BAD_VERTICES[said], encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        converted(folder)
    assert "vertices.csv" in str(caught.value)
    assert sorted(os.listdir(folder)) == ["edges.csv", "vertices.csv"]


def test_bad_integer_ids(folder):
    (folder / "edges.csv").write_text("0,1\n1,x\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    with pytest.raises(DataError, match=r"edges\.csv, row 2, column 2: 'x' is no vertex"):
        converted(folder)


def test_integer_vertices_that_are_there_twice(folder):
    (folder / "vertices.csv").write_text("id,x\n7,1\n5,1\n8,1\n5,1\n")
    with pytest.raises(DataError, match="rows 3 and 5: vertex 5 is there twice"):
        converted(folder)


def test_labels_above_the_given_classes(folder):
    with pytest.raises(DataError, match=r"vertices\.csv, row 3: label 1 .* with 1 classes"):
        converted(folder, classes=1)


def test_missing_columns_and_files(folder):
    for name in ("source", "target", "weight"):
        with pytest.raises(DataError, match=rf"edges\.csv has no column 'q' \(--{name}\)"):
            converted(folder, **{name: "q"})
    for name, value in (
        ("id", "q"),
        ("label", ("q",)),
        ("split_column", "q"),
        ("features", ("q",)),
    ):
        option = name.replace("_", "-")
        with pytest.raises(DataError, match=rf"vertices\.csv has no column 'q' \(--{option}\)"):
            converted(folder, **{name: value})
    with pytest.raises(DataError, match="does not exist: needed a CSV or Parquet file"):
        converted(folder, "absent.csv")


def test_text_in_another_encoding(folder):
    (folder / "edges.csv").write_bytes("ann,zoë\n".encode("latin-1"))
    with pytest.raises(DataError, match="no UTF-8 text"):
        converted(folder)


def test_a_truncated_gzip_file(folder):
    packed = gzip.compress(EDGES.encode() * 1000)
    (folder / "edges.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"edges\.csv\.gz cannot be read"):
        converted(folder, "edges.csv.gz", vertices=None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"link_features": True}, "--link-features: needed --features-npy"),
        ({"features": ("a",), "features_npy": Path("x.npy")}, "choose one of the two"),
        ({"label": ("a",), "vertices": None}, "give it as --vertices FILE"),
        (
            {"link_features": True, "features_npy": Path("x"), "normalize_features": "row"},
            "without --normalize-features",
        ),
    ],
)
def test_options_that_do_not_go_together(options, said, folder):
    with pytest.raises(ConfigError, match=said):
        converted(folder, **options)


def test_nothing_is_overwritten(folder):
    (folder / "g.h5").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        converted(folder)
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
