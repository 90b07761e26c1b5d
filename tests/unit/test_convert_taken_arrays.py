"""What Parquet tables and .npz archives are taken as, and edges that are listed again."""

import datetime

import numpy as np
import pytest
from converters import EDGE_INDEX, X, edges_of, of_archive, of_tables, of_text, saved

from batchgnn.base.errors import DataError
from batchgnn.data import double_edges
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_edges import convert_edges
from batchgnn.data.convert_npz import convert_npz
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.store.graph_store import GraphStore

# --- Parquet -------------------------------------------------------------------------------------


@pytest.fixture
def parquet():
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (parquet extra)")
    import pyarrow
    from pyarrow import parquet

    def write(path, **columns):
        parquet.write_table(pyarrow.table(columns), path)

    return write


def test_a_folder_of_parquet_files_is_read_in_order_of_name(parquet, tmp_path):
    folder = tmp_path / "e.parquet"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    parquet(folder / "part-1.parquet", source=[2, 3], target=[3, 0])
    parquet(folder / "part-0.parquet", source=[0, 1], target=[1, 2])
    graph = of_tables(tmp_path, "e.parquet", vertices=None)
    assert edges_of(graph) == [(0, 1), (1, 2), (2, 3), (3, 0)]
    parquet(folder / "part-2.parquet", source=[2], to=[3])
    with pytest.raises(DataError, match=r"part-2\.parquet has the columns source, to, but"):
        of_tables(tmp_path, "e.parquet", out="b.h5", vertices=None)
    (folder / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"nothing but Parquet files, or text \(found notes"):
        of_tables(tmp_path, "e.parquet", out="b.h5", vertices=None)


def test_two_columns_of_one_name_in_parquet_are_refused(parquet, tmp_path):
    import pyarrow
    from pyarrow import parquet as pq

    columns = [pyarrow.array([0, 1])] * 3
    names = ["source", "target", "target"]
    pq.write_table(pyarrow.Table.from_arrays(columns, names), tmp_path / "e.parquet")
    with pytest.raises(DataError, match=r"two columns are named 'target'\. Rename one$"):
        of_tables(tmp_path, "e.parquet", vertices=None)


def test_lists_in_parquet_are_features(parquet, tmp_path):
    (tmp_path / "e.csv").write_text("source,target\n0,1\n")
    lists = [[0.5, 1], [2, 3]]
    parquet(tmp_path / "v.parquet", id=[0, 1], label=[0, 1], feat=lists, age=[7, 8])
    graph = of_tables(tmp_path, "e.csv", vertices=tmp_path / "v.parquet")
    assert graph.read_features().tolist() == [[0.5, 1, 7], [2, 3, 8]]
    parquet(tmp_path / "v.parquet", id=[0, 1], feat=[[0.5, 1], [2]])
    with pytest.raises(DataError, match="row 2, column feat: a list of 1 numbers, needed 2"):
        of_tables(tmp_path, "e.csv", out="b.h5", vertices=tmp_path / "v.parquet")
    dates = np.array(["2020-01-01", "2021-01-01"], "datetime64[s]")
    parquet(tmp_path / "v.parquet", id=[0, 1], when=dates)
    with pytest.raises(DataError, match=r"column when: the cell is .*needed a number"):
        of_tables(tmp_path, "e.csv", out="b.h5", vertices=tmp_path / "v.parquet")


# --- npz -----------------------------------------------------------------------------------------

NO_MASKS = dict.fromkeys(("train_mask", "val_mask", "test_mask"))


@pytest.mark.parametrize("pattern", ["{}_idx", "{}_index", "idx_{}", "{}"])
def test_row_numbers_are_the_split_of_an_archive(pattern, tmp_path):
    rows = {"train": [0, 3], "val": [2], "test": [1]}
    arrays = {pattern.format(part): np.array(ids) for part, ids in rows.items()}
    graph = of_archive(tmp_path, **NO_MASKS, **arrays, edge_attr=np.ones((4, 2)))
    assert graph.read_split().ravel().tolist() == [1, 3, 2, 1]
    assert graph.taken["arrays not used"] == ["edge_attr"]


BAD_ARCHIVES = {
    "vertex 4 is out of range": {"train_idx": [4], "val_idx": [1], "test_idx": [2]},
    "vertex 1 is there twice": {"train_idx": [0, 1], "val_idx": [1], "test_idx": [2]},
    "A mask is an array of bool": {"train": [1, 0, 0, 1], "val": [2], "test": [3]},
    "needed one array for each of train, val and test": {"train_idx": [0], "test_idx": [2]},
    "train_idx is float64, needed a mask or integers": {
        "train_idx": [0.5], "val_idx": [1], "test_idx": [2],
    },
}  # fmt: skip


@pytest.mark.parametrize("said", BAD_ARCHIVES)
def test_a_bad_split_of_an_archive_is_refused(said, tmp_path):
    arrays = {key: np.array(value) for key, value in BAD_ARCHIVES[said].items()}
    with pytest.raises(DataError, match=said):
        of_archive(tmp_path, **NO_MASKS, **arrays)


@pytest.mark.parametrize(("usual", "name"), [("x", "features"), ("y", "labels")])
def test_arrays_by_their_other_names(usual, name, tmp_path):
    values = {"x": X, "y": np.array([1, 0, 2, -1])}[usual]
    graph = of_archive(tmp_path, **{usual: None, name: values})
    assert graph.taken[{"x": "features", "y": "label"}[usual]] == name
    np.testing.assert_array_equal(graph.read_features(), X)
    assert graph.read_labels().tolist() == [1, 0, 2, -1]


DEGENERATE = {
    "x is one value, not an array": {"x": np.float32(1), "indptr": None, "edge_index": EDGE_INDEX},
    "y is one value": {"y": np.int64(1)},
    "indices is one value": {"indices": np.int64(1)},
    "labels are datetime64": {"y": np.array(["2020-01-01"] * 4, "datetime64[D]")},
    "x is datetime64": {"x": np.array([["2020-01-01"]] * 4, "datetime64[D]")},
    "edge_weight is complex128, needed numbers": {"edge_weight": np.ones(4, complex)},
    r"train_mask, row 1: 2\.0, needed 0 or 1": {"train_mask": np.array([1.0, 2, 0, 0])},
    "how many vertices are there": {
        "x": None, "y": None, "indptr": None, "indices": None, "edge_index": EDGE_INDEX, **NO_MASKS,
    },
    "class_names is int64": {"class_names": np.arange(3)},
    "x_shape is no": {"x": None, "indptr": None, "x_shape": np.array([np.inf, 2])},
    "directed is bool .*needed True or False": {"directed": np.array([True, False])},
    "split is not understood": {"split": np.array([0, 1, 2, 0]), **NO_MASKS},
    "has no vertices": {
        "indptr": np.zeros(1, int), "indices": np.zeros(0, int), "x": None, "y": None, **NO_MASKS,
    },
    "another format than CSR": {"format": np.array(b"csc")},
}  # fmt: skip


@pytest.mark.parametrize("said", DEGENERATE)
def test_degenerate_archives_are_refused_with_a_sentence(said, tmp_path):
    with pytest.raises(DataError, match=said):
        of_archive(tmp_path, **DEGENERATE[said])


# --- double edges --------------------------------------------------------------------------------

DOUBLE = "source,target,w\n0,1,1\n0,1,2\n1,0,4\n1,2,8\n"


@pytest.mark.parametrize("bucket", [1, 2, 1 << 20])
@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("keep", [(0, 1, 1.0), (0, 1, 2.0), (1, 0, 4.0), (1, 2, 8.0)]),
        ("drop", [(0, 1, 1.0), (1, 2, 8.0)]),
        ("sum", [(0, 1, 7.0), (1, 2, 8.0)]),
    ],
)
def test_double_edges_are_said_and_kept_dropped_or_summed(
    bucket, wanted, kept, tmp_path, monkeypatch
):
    monkeypatch.setattr(double_edges, "BUCKET_EDGES", bucket)
    graph = of_text(tmp_path, DOUBLE, arcs="once", weight="w", double_edges=wanted)
    assert sorted(edges_of(graph)) == kept
    assert graph.taken["double edges"].startswith("2 edges are listed again")


def test_double_edges_of_a_directed_graph_and_without_weights(tmp_path):
    graph = of_text(tmp_path, DOUBLE, arcs="directed", double_edges="sum")
    assert sorted(edges_of(graph)) == [(0, 1, 2.0), (1, 0, 1.0), (1, 2, 1.0)]
    (tmp_path / "g.h5").unlink()
    options = ConvertOptions(arcs="directed", double_edges="drop")
    ends = np.array([[0, 0, 1], [1, 1, 0]])
    graph = of_archive(tmp_path, options, indptr=None, indices=None, edge_index=ends)
    assert sorted(edges_of(graph)) == [(0, 1), (1, 0)]


def test_the_number_of_double_edges_is_numpys(tmp_path, monkeypatch):
    monkeypatch.setattr(double_edges, "BUCKET_EDGES", 37)
    monkeypatch.setattr(double_edges, "READ_CHUNK", 100)
    ends = np.random.default_rng(0).integers(0, 30, (1000, 2))
    text = "source,target\n" + "\n".join(f"{u},{v}" for u, v in ends.tolist())
    (tmp_path / "e.csv").write_text(text)
    options = EdgeListOptions(arcs="directed", self_loops="keep")
    said = convert_edges(tmp_path / "e.csv", tmp_path / "g.h5", options, show=False)
    num_again = 1000 - len(np.unique(ends, axis=0))
    assert f"double edges: {num_again} edges are listed again" in str(said)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_flipped_bit_of_the_edges_of_an_archive_is_noticed(compressed, tmp_path):
    arrays = {"indptr": None, "indices": None, "edge_index": EDGE_INDEX}
    path = saved(tmp_path, compressed, **arrays)
    options, whole = ConvertOptions(arcs="directed"), path.read_bytes()
    begin = whole.index(b"edge_index.npy") + len("edge_index.npy")
    end = whole.index(b"PK", begin)
    for bit in range(8 * begin, 8 * end, 3 if compressed else 17):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        (tmp_path / "g.h5").unlink(missing_ok=True)
        try:
            convert_npz(path, tmp_path / "g.h5", options, show=False)
        except DataError:
            continue
        assert edges_of(GraphStore(tmp_path / "g.h5")) == [(0, 1), (1, 0), (1, 2), (2, 1)]


@pytest.mark.parametrize("kind", ["dates", "durations", "records", "lists"])
def test_dates_and_other_such_things_are_no_labels(kind, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (parquet extra)")
    from pyarrow import parquet

    one = {
        "dates": datetime.date(2024, 1, 1),
        "durations": datetime.timedelta(1),
        "records": {"a": 1},
        "lists": [1, 2],
    }[kind]
    parquet.write_table(pyarrow.table({"id": [0, 1], "label": [one] * 2}), tmp_path / "v.parquet")
    (tmp_path / "e.csv").write_text("source,target\n0,1\n")
    with pytest.raises(DataError, match=r"column label is of type .*, needed numbers or text"):
        of_tables(tmp_path, "e.csv", vertices=tmp_path / "v.parquet")
