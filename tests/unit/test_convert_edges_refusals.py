"""`convert edges`: every refusal names the file and the row, and leaves nothing behind."""

import gzip
import os
from pathlib import Path

import pytest
from converters import EDGES, NUMBERED, VERTICES, of_tables, write_tables

from batchgnn.base.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    return write_tables(tmp_path)


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
    "it holds a byte 0, so it is no text": EDGES.replace("zoë", "z\0oë"),
    r"row 2, column weight: the cell is '1_0', needed a number": EDGES.replace("0.5", "1_0"),
    "has no column 'weight' \\(--weight\\); found a, b": "a,b\nann,bob\n",
}


@pytest.mark.parametrize("said", BAD_EDGES)
def test_bad_edges_are_refused_with_file_and_row(said, folder):
    (folder / "edges.csv").write_text(BAD_EDGES[said], encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        of_tables(folder, weight="weight")
    assert "edges.csv" in str(caught.value)
    assert sorted(os.listdir(folder)) == ["edges.csv", "vertices.csv"]


BAD_VERTICES = {
    "rows 2 and 4: vertex bob is there twice": VERTICES.replace("zoë", "bob"),
    "row 3: the vertex has no id": VERTICES.replace("ann", ""),
    "row 3, column age: the cell is 'two'": VERTICES.replace("ann,2", "ann,two"),
    "row 3, column age: the cell is '2_0', needed a number": VERTICES.replace("ann,2", "ann,2_0"),
    "row 4, column 1: feature is nan": VERTICES.replace("0.75", "nan"),
    "row 2, column 0: feature is inf": VERTICES.replace("bob,1", "bob,1e39"),
    "row 3: label -2 is out of range": VERTICES.replace("2,1,val", "2,-2,val"),
    "row 3: 4 cells found, needed 5": VERTICES.replace("val,0.5", "val"),
    "row 4, column split: 'tests' is no part": VERTICES.replace("test", "tests"),
    "row 2, column height: the cell is '2024-01-01'": VERTICES.replace("0.25", "2024-01-01"),
    "has no rows: needed one for each vertex": VERTICES.partition("\n")[0] + "\n",
}


@pytest.mark.parametrize("said", BAD_VERTICES)
def test_bad_vertices_are_refused_with_file_and_row(said, folder):
    (folder / "vertices.csv").write_text(BAD_VERTICES[said], encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        of_tables(folder)
    assert "vertices.csv" in str(caught.value)
    assert sorted(os.listdir(folder)) == ["edges.csv", "vertices.csv"]


def test_bad_integer_ids(folder):
    (folder / "edges.csv").write_text("0,1\n1,x\n")
    (folder / "vertices.csv").write_text(NUMBERED)
    with pytest.raises(DataError, match=r"edges\.csv, row 2, column 2: 'x' is no vertex"):
        of_tables(folder)


def test_integer_vertices_that_are_there_twice(folder):
    (folder / "vertices.csv").write_text("id,x\n7,1\n5,1\n8,1\n5,1\n")
    with pytest.raises(DataError, match="rows 3 and 5: vertex 5 is there twice"):
        of_tables(folder)


def test_labels_above_the_given_classes(folder):
    with pytest.raises(DataError, match=r"vertices\.csv, row 3: label 1 .* with 1 classes"):
        of_tables(folder, classes=1)


def test_missing_columns_and_files(folder):
    for name in ("source", "target", "weight"):
        with pytest.raises(DataError, match=rf"edges\.csv has no column 'q' \(--{name}\)"):
            of_tables(folder, **{name: "q"})
    for name, value in (
        ("id", "q"),
        ("label", ("q",)),
        ("split_column", "q"),
        ("features", ("q",)),
    ):
        option = name.replace("_", "-")
        with pytest.raises(DataError, match=rf"vertices\.csv has no column 'q' \(--{option}\)"):
            of_tables(folder, **{name: value})
    with pytest.raises(DataError, match="does not exist: needed a CSV or Parquet file"):
        of_tables(folder, "absent.csv")


def test_text_in_another_encoding(folder):
    (folder / "edges.csv").write_bytes("ann,zoë\n".encode("latin-1"))
    with pytest.raises(DataError, match="no UTF-8 text"):
        of_tables(folder)


def test_a_truncated_gzip_file(folder):
    packed = gzip.compress(EDGES.encode() * 1000)
    (folder / "edges.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"edges\.csv\.gz cannot be read"):
        of_tables(folder, "edges.csv.gz", vertices=None)


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
        of_tables(folder, **options)


def test_python_s_own_way_of_writing_integers_is_no_id(folder):
    (folder / "edges.csv").write_text("0,1\n0,1_0\n")
    (folder / "vertices.csv").write_text("id,x\n" + "".join(f"{v},1\n" for v in range(12)))
    with pytest.raises(DataError, match="row 2, column 2: '1_0' is no vertex"):
        of_tables(folder)
