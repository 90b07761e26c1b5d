"""What `convert edges` takes as what: said, kept in the store, asked where it may be otherwise."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from converters import edges_of, of_archive, of_tables, of_text, saved

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.cli import app
from batchgnn.data.convert_npz import convert_npz
from batchgnn.partition.cli import inspect
from batchgnn.store.graph_store import GraphStore

CYCLE = "source,target\n0,1\n1,2\n2,3\n3,0\n"


def of_vertices(folder, text, **options):
    """The cycle of four vertices with this vertex table."""
    (folder / "e.csv").write_text(CYCLE)
    (folder / "v.csv").write_text(text)
    return of_tables(folder, "e.csv", vertices=folder / "v.csv", **options)


# --- the record ----------------------------------------------------------------------------------


def test_what_was_taken_as_what_is_printed_kept_and_shown(tmp_path, capsys):
    (tmp_path / "e.csv").write_text("u,v,when\nann,bob,1\nann,bob,2\nann,ann,3\n")
    (tmp_path / "v.csv").write_text("node_id,Y,f,g\nann,red,1,2\nbob,blue,1,2\neve,NA,1,2\n")
    app(
        [*("convert", "edges", str(tmp_path / "e.csv"), str(tmp_path / "g.h5")),
         *("--vertices", str(tmp_path / "v.csv"))],
        result_action="return_value",
    )  # fmt: skip
    said = capsys.readouterr().out
    inspect(tmp_path / "g.h5")
    shown = capsys.readouterr().out
    taken = GraphStore(tmp_path / "g.h5").taken
    expected = {
        "source": "column u",
        "target": "column v",
        "weight": "none",
        "columns of the edges not used": ["when"],
        "self-loops": "1 self-loops dropped",
        "double edges": "1 edges are listed again (kept; --double-edges drop|sum)",
        "id": "column node_id",
        "label": "column Y",
        "features": ["f", "g"],
        "vertices of each class": {"blue": 1, "red": 1},
        "vertices without a label": 1,
        "vertices without an edge": 1,
    }
    assert expected.items() <= taken.items()
    assert "header: first line: u, v, when" in said
    assert "vertices of each class: blue: 1, red: 1" in said
    assert "what was taken as what" in shown
    assert "column node_id" in shown


def test_long_lists_of_names_are_cut_so_that_the_store_can_keep_them(tmp_path):
    names = [f"f{'x' * 200}{i}" for i in range(3000)]
    rows = "\n".join(f"{v}," + ",".join(["1"] * 3000) for v in range(4))
    taken = of_vertices(tmp_path, f"id,{','.join(names)}\n{rows}\n").taken
    assert len(taken["features"]) == 21
    assert taken["features"][-1] == "... and 2,980 more"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": None}, "warning: no vertex has features"),
        ({"y": None}, "warning: no vertex has a label"),
        ({"train_mask": np.zeros(4, bool)}, "warning: there is no training vertex"),
        ({"edge_weight": np.array([1, 1, -2, -2])}, "warning: --model gcn needs weights above 0"),
    ],
)
def test_what_training_will_lack_is_said_at_once(changes, said, tmp_path):
    assert said in str(convert_npz(saved(tmp_path, **changes), tmp_path / "g.h5", show=False))


# --- header, source, target ----------------------------------------------------------------------

LISTS = {
    "text without a header": "alice,bob\nbob,carol\ncarol,dave\n",
    "known names": "From,To\nalice,bob\nbob,carol\ncarol,dave\n",
    "known names among others": "eid,src,kind,dst\n7,alice,a,bob\n8,bob,a,carol\n9,carol,b,dave\n",
    "delimiters at the end": "alice,bob,\nbob,carol,\ncarol,dave,\n",
    "spaces at the end": "alice bob \nbob carol\ncarol dave  \n",
    "a comment inside": "# c\nalice bob\n# another\nbob carol\n%\ncarol dave\n",
    "a pandas index": ",source,target\n0,alice,bob\n1,bob,carol\n2,carol,dave\n",
    "a pandas index beside other names": ",a,b\n0,alice,bob\n1,bob,carol\n2,carol,dave\n",
}  # fmt: skip


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_three_edges_are_three_edges(text, tmp_path):
    graph = of_text(tmp_path, text)
    assert [name.decode() for name in graph.read_names()] == ["alice", "bob", "carol", "dave"]
    assert edges_of(graph) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("text", ["a,b\n0,1\n1,2\n", ",0,1\n0,0,1\n1,1,2\n"])
def test_names_above_numbers_are_a_header(text, tmp_path):
    assert edges_of(of_text(tmp_path, text)) == [(0, 1), (1, 2)]


QUESTIONS = {
    "triples": ("a r1 b\nb r1 c\n", "--source 1 --target 3"),
    "triples of numbers": ("5 0 7\n7 0 9\n", "--source 1 --target 3"),
    "unknown names": (",u,i,ts\n0,1,2,3\n", "--source u --target ts"),
    "only one known name": ("source,x,y\n0,1,2\n", "which columns are the edges' source"),
    "two sources": ("src,from,target\n0,1,2\n", "columns src and from: choose one, --source"),
    "numbers that may be names": ("0,1,2\n5,6,7\n", "a row, or names of columns.* --no-header"),
    "an id that looks as a comment": ("a,b\n#c,d\n", "'#c' begins as a comment does"),
    "a cell after ending delimiters": ("a,b,\n" * 150 + "c,d,e\n", "the last cell is 'e'"),
    "one name twice": ("source,target,x,x\n0,1,2,3\n", "two columns are named 'x'"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_may_be_otherwise_is_asked(question, tmp_path):
    text, said = QUESTIONS[question]
    with pytest.raises(DataError, match=said):
        of_text(tmp_path, text)
    assert not (tmp_path / "g.h5").exists()


def test_the_answers_to_the_questions(tmp_path):
    graph = of_text(tmp_path, "a r1 b\nb r1 c\n", source="1", target="3")
    assert edges_of(graph) == [(0, 1), (1, 2)]
    assert graph.taken["columns of the edges not used"] == ["2"]
    graph = of_text(tmp_path, "alice,bob\nbob,eve\n", out="b.h5", header=True)
    assert graph.num_edges == 1


def test_a_delimiter_is_one_character_or_a_tab(tmp_path):
    text = "source\ttarget\n0\t1\n1\t2\n"
    assert edges_of(of_text(tmp_path, text, delimiter="\\t")) == [(0, 1), (1, 2)]
    for bad in ("||", "", '"', "\n"):
        with pytest.raises(ConfigError, match=r"--delimiter .*needed one character"):
            of_text(tmp_path, text, out="b.h5", delimiter=bad)


OTHERS = {
    "MatrixMarket": b"%%MatrixMarket matrix coordinate real general\n6 7 3\n1 2 0.5\n",
    "Pajek": b"*Vertices 3\n1 a\n",
    "XML": b'<?xml version="1.0"?>\n<graphml>\n',
    "JSON": b'{"nodes": [1, 2]}\n',
    "HTML": b"<!DOCTYPE html>\n<html>\n",
    "zip archive": b"PK\x03\x04123",
    "HDF5": b"\x89HDF\r\n\x1a\n123",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
}


@pytest.mark.parametrize("what", OTHERS)
def test_files_of_other_formats_are_named(what, tmp_path):
    (tmp_path / "e.csv").write_bytes(OTHERS[what])
    with pytest.raises(DataError, match=rf"e\.csv is an? .*{what}|e\.csv is .*{what}"):
        of_tables(tmp_path, "e.csv", vertices=None)


def zstd(data):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow unpacks zstd (parquet extra)")
    return pyarrow.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("name", ["E.CSV.GZ", "e.csv"])
def test_packed_text_is_known_by_its_first_bytes(pack, name, tmp_path):
    packed = pack(CYCLE.encode())
    (tmp_path / name).write_bytes(packed)
    assert of_tables(tmp_path, name, vertices=None).num_edges == 4
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"cannot be read|no rows"):
        of_tables(tmp_path, name, out="b.h5", vertices=None)


# --- id, label, split, features ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["y", "Label", "class", "target", "labels"])
def test_labels_by_their_usual_names(name, tmp_path):
    graph = of_vertices(tmp_path, f"id,{name},f\n0,3,1\n1,2,2\n2,1,3\n3,0,4\n")
    assert graph.read_labels().tolist() == [3, 2, 1, 0]
    assert graph.num_features == 1


def test_two_columns_that_may_be_labels_are_asked_about(tmp_path):
    with pytest.raises(DataError, match="columns y and class: choose one, --label y"):
        of_vertices(tmp_path, "id,y,class\n0,3,1\n1,2,2\n2,1,3\n3,0,4\n")
    with pytest.raises(DataError, match="is y the label, or is it a feature as x is"):
        of_vertices(tmp_path, "id,x,y\n0,3,1\n1,2,2\n2,1,3\n3,0,4\n")
    graph = of_vertices(tmp_path, "id,x,y,label\n0,3,1,0\n1,2,2,1\n2,1,3,1\n3,0,4,0\n")
    assert (graph.taken["label"], graph.taken["features"]) == ("column label", ["x", "y"])


@pytest.mark.parametrize("none", ["NaN", "NA", "N/A", "NULL", "None", "<NA>", "nan", "", "-1"])
def test_what_stands_for_no_label(none, tmp_path):
    graph = of_vertices(tmp_path, f"id,label\n0,3.0\n1,{none}\n2,1.0\n3,{none}\n")
    assert graph.read_labels().tolist() == [3, -1, 1, -1]
    assert graph.taken["vertices without a label"] == 2


def test_the_users_own_text_for_no_label(tmp_path):
    graph = of_vertices(tmp_path, "id,label\n0,a\n1,?\n2,b\n3,?\n", no_label=("?",))
    assert graph.class_names == ["a", "b"]
    assert graph.read_labels().tolist() == [0, -1, 1, -1]


def test_an_index_of_pandas_is_the_id_or_nothing_but_never_a_feature(tmp_path):
    graph = of_vertices(tmp_path, ",id,label,f\n9,0,0,1\n8,1,1,2\n7,2,0,1\n6,3,1,4\n")
    assert graph.taken["features"] == ["f"]
    assert graph.taken["columns of the vertices not used"] == ["(unnamed)"]
    graph = of_vertices(tmp_path, ",label,f\n0,0,1\n1,1,2\n2,0,1\n3,1,4\n", out="b.h5")
    assert (graph.taken["id"], graph.taken["features"]) == ("column (unnamed)", ["f"])


def test_ids_without_a_known_name_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"which column has the ids .* --id age"):
        of_vertices(tmp_path, "age,height,label\n0,1,0\n1,2,0\n2,3,1\n3,4,1\n")


MASKS = "id,label,{}_mask,{}_mask,{}_mask,f\n0,0,{t},{f},{f},1\n1,1,{f},{t},{f},2\n" \
    "2,1,{f},{f},{t},3\n3,0,{f},{f},{f},4\n"  # fmt: skip


@pytest.mark.parametrize(("true", "false"), [("1", "0"), ("True", "False"), ("1.0", "0.0")])
@pytest.mark.parametrize("names", [("train", "val", "test"), ("test", "train", "valid")])
def test_masks_are_the_split(true, false, names, tmp_path):
    graph = of_vertices(tmp_path, MASKS.format(*names, t=true, f=false))
    part = {"train": 1, "val": 2, "valid": 2, "test": 3}
    assert graph.read_split().ravel().tolist() == [*(part[name] for name in names), 0]
    assert graph.taken["features"] == ["f"]


BAD_SPLITS = {
    "needed one column for each of train, val and test: train_mask": MASKS.replace(
        "{}_mask,{}_mask,{}_mask", "train_mask,a,b"
    ).format(t=1, f=0),
    "columns split and train_mask, val_mask, test_mask all say it": MASKS.replace(
        "label", "split"
    ).format("train", "val", "test", t=1, f=0),
    "row 2, column train_mask: '2' is no part": MASKS.format("train", "val", "test", t=2, f=0),
    "in two of train": MASKS.format("train", "val", "test", t=1, f=1),
    "the split has 0, 1, 2, which may mean": "id,split,f\n0,0,1\n1,0,2\n2,1,3\n3,2,4\n",
    "the split has 1, 2, which may mean": "id,split,f\n0,1,1\n1,1,2\n2,2,3\n3,2,4\n",
    "the split has 0, 3, which may mean": "id,split,f\n0,0,1\n1,3,2\n2,train,3\n3,val,4\n",
}


@pytest.mark.parametrize("said", BAD_SPLITS)
def test_a_split_that_may_be_otherwise_is_refused(said, tmp_path):
    with pytest.raises(DataError, match=said):
        of_vertices(tmp_path, BAD_SPLITS[said])
    assert not (tmp_path / "g.h5").exists()


def test_the_split_that_was_asked_for_is_taken(tmp_path):
    text = "id,split,f\n0,0,1\n1,0,2\n2,1,3\n3,2,4\n"
    graph = of_vertices(tmp_path, text, split_values=("0", "1", "2"))
    assert graph.read_split().ravel().tolist() == [1, 1, 2, 3]
    text = MASKS.format("train", "val", "test", t=1, f=0)
    graph = of_vertices(tmp_path, text, out="b.h5", split=(1.0, 0.0, 0.0))
    assert graph.read_split().ravel().tolist() == [1] * 4
    assert graph.taken["features"] == ["f"]
    graph = of_vertices(
        tmp_path, text, out="c.h5", features=("f", "train_mask", "val_mask", "test_mask")
    )
    assert graph.num_features == 4


def test_numbers_that_would_make_mostly_empty_classes_are_asked_about(tmp_path):
    text = "id,label\n0,2000000000\n1,7\n2,7\n3,1500\n"
    with pytest.raises(DataError, match=r"2,000,000,001 classes, 3 .*--task regress"):
        of_vertices(tmp_path, text)
    graph = of_vertices(tmp_path, text, task="multiclass")
    assert graph.class_names == ["7", "1500", "2000000000"]
    (tmp_path / "g.h5").unlink()
    with pytest.raises(DataError, match="1,501 classes, 3 of which"):
        of_archive(tmp_path, y=np.array([0, 1500, 0, 3]))


def test_cells_with_several_numbers_are_several_features(tmp_path):
    text = 'id,g,f\n0,9,"0.5,1"\n1,9,"[2, 3]"\n2,9,4 5\n3,9,6;7\n'
    graph = of_vertices(tmp_path, text)
    assert graph.read_features().tolist() == [[9, 0.5, 1], [9, 2, 3], [9, 4, 5], [9, 6, 7]]
    with pytest.raises(DataError, match=r"row 4, column f: the cell is '4', needed 2 numbers"):
        of_vertices(tmp_path, text.replace("4 5", "4"), out="b.h5")
