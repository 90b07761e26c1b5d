"""Features on their way into a store: standardised, filled, one-hot; what is refused."""

import numpy as np
import pytest
from converters import SPARSE, X, of_archive, of_tables

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data import features
from batchgnn.data.convert import ConvertOptions

EDGES = "source,target\n0,1\n1,2\n2,3\n"
ROWS = """id,f,g,h,split
0,1,,7,train
1,5,2,7,train
2,9,4,NA,test
3,,8,9,train
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "edges.csv").write_text(EDGES)
    (tmp_path / "vertices.csv").write_text(ROWS)
    return tmp_path


def reference(x, train, fill=None):
    """The same in two lines of NumPy: of the training rows, constant columns divided by 1."""
    mean = np.nanmean(x[train], axis=0)
    x = np.where(np.isnan(x), mean if fill is None else fill, x)
    deviation = x[train].std(axis=0)
    deviation[deviation == 0] = 1
    return (x - x[train].mean(axis=0)) / deviation


TRAIN = [0, 1, 3]
VALUES = np.array([[1, np.nan, 7], [5, 2, 7], [9, 4, np.nan], [np.nan, 8, 9]])


def test_missing_cells_are_refused_unless_something_is_filled_in(folder):
    with pytest.raises(DataError, match=r"row 2, column g: the cell is empty, .* --fill mean$"):
        of_tables(folder)
    graph = of_tables(folder, fill=-1.0)
    np.testing.assert_array_equal(graph.read_features(), np.nan_to_num(VALUES, nan=-1))
    assert graph.taken["missing features"] == "3 filled with -1"


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_mean_and_the_deviation_are_of_the_training_vertices(folder, step, dtype, monkeypatch):
    monkeypatch.setattr(features, "FEATURE_CHUNK_BYTES", step)
    tolerance = {"rtol": 1e-6 if dtype == "float32" else 1e-3}
    graph = of_tables(folder, fill="mean", feature_dtype=dtype)
    mean = np.nanmean(VALUES[TRAIN], axis=0)
    expected = np.where(np.isnan(VALUES), mean, VALUES)
    np.testing.assert_allclose(graph.read_features(), expected, **tolerance)
    graph = of_tables(folder, out="s.h5", fill="mean", standardize=True, feature_dtype=dtype)
    expected = reference(VALUES, TRAIN)
    np.testing.assert_allclose(graph.read_features(), expected, atol=1e-6, **tolerance)
    assert graph.taken["standardized"] == "mean 0 and deviation 1 of the training vertices"
    assert graph.taken["missing features"] == "3 filled with the mean of the training vertices"
    graph = of_tables(folder, out="f.h5", fill=0.0, standardize=True, feature_dtype=dtype)
    expected = reference(VALUES, TRAIN, fill=0)
    np.testing.assert_allclose(graph.read_features(), expected, atol=1e-6, **tolerance)


def test_large_numbers_keep_their_differences_and_constant_columns_are_zero(tmp_path):
    times = 1.7e9 + np.arange(4)[:, None]
    x = np.hstack([times, np.full((4, 1), 0.1)])
    masks = {f"{part}_mask": np.arange(4) < 4 * (part == "train") for part in ("val", "test")}
    options = ConvertOptions(standardize=True)
    graph = of_archive(tmp_path, options, x=x, y=np.zeros(4, int), train_mask=np.ones(4, bool),
                       **masks)  # fmt: skip
    expected = (np.arange(4) - 1.5) / np.arange(4).std()
    np.testing.assert_allclose(graph.read_features()[:, 0], expected, rtol=1e-6)
    assert graph.read_features()[:, 1].tolist() == [0, 0, 0, 0]
    assert graph.taken["standardized"].endswith("1 constant columns are 0 there")


def test_without_training_vertices_all_are_counted(folder):
    (folder / "vertices.csv").write_text("id,f\n0,1\n1,3\n2,5\n3,7\n")
    graph = of_tables(folder, standardize=True)
    np.testing.assert_allclose(graph.read_features()[:, 0], np.array([-3, -1, 1, 3]) / 5**0.5)
    assert "of all vertices, as none trains" in graph.taken["standardized"]


def test_nan_in_an_archive_and_in_an_npy_file(tmp_path):
    x = X.copy()
    x[1, 2] = np.nan
    with pytest.raises(DataError, match=r"x, row 1, column 2: feature is nan"):
        of_archive(tmp_path, x=x)
    graph = of_archive(tmp_path, ConvertOptions(fill=0.25), x=x)
    assert graph.read_features()[1].tolist() == [0, 0, 0.25]
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "e.csv").write_text(EDGES)
    graph = of_tables(
        tmp_path, "e.csv", out="n.h5", vertices=None, features_npy=tmp_path / "x.npy", fill="mean"
    )
    np.testing.assert_allclose(graph.read_features()[1], [0, 0, 5 / 3], rtol=1e-6)


def test_one_hot_columns_are_a_feature_for_each_value(folder):
    rows = "id,color,f,size\n0,red,1,10\n1,blue,2,9\n2,,3,10\n3,red,6,9\n"
    (folder / "vertices.csv").write_text(rows)
    graph = of_tables(folder, one_hot=("color", "size"), standardize=True)
    f = (np.array([1, 2, 3, 6]) - 3) / np.array([1, 2, 3, 6]).std()
    expected = [[0, 1, f[0], 0, 1], [1, 0, f[1], 1, 0], [0, 0, f[2], 0, 1], [0, 1, f[3], 1, 0]]
    np.testing.assert_allclose(graph.read_features(), expected, rtol=1e-6)
    assert graph.taken["one-hot"] == ["color (blue, red)", "size (9, 10)"]
    graph = of_tables(folder, out="c.h5", features=("f",), one_hot=("color",))
    assert graph.read_features().tolist() == [[1, 0, 1], [2, 1, 0], [3, 0, 0], [6, 0, 1]]


def test_nulls_of_parquet_are_filled(folder):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet comes with pyarrow")
    import pyarrow

    kind = pyarrow.list_(pyarrow.float32(), 2)
    columns = {"id": [0, 1, 2, 3], "f": [1, None, 3, 4],
               "x": pyarrow.array([[1, 2], [3, None], [5, 6], [7, 8]], kind)}  # fmt: skip
    parquet.write_table(pyarrow.table(columns), folder / "v.parquet")
    graph = of_tables(folder, vertices=folder / "v.parquet", fill=9.0)
    assert graph.read_features().tolist() == [[1, 1, 2], [9, 3, 9], [3, 5, 6], [4, 7, 8]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"standardize": True, "normalize_features": "row"}, "choose one of the two"),
        ({"fill": float("nan")}, "needed a finite number, or mean"),
        ({"one_hot": ("split",)}, "one-hot split: the column is the id, a label or the split"),
        ({"one_hot": ("nowhere",)}, "nowhere"),
        ({"one_hot": ("f",), "vertices": None}, "give it as --vertices"),
        ({"vertices": None, "standardize": True}, "--standardize: no vertex of .* has features"),
        ({"vertices": None, "fill": "mean"}, "--fill mean: no vertex of .* has features"),
        ({"vertices": None, "normalize_features": "row"}, "row: no vertex of .* has features"),
    ],
)
def test_what_cannot_be_is_refused(folder, options, said):
    with pytest.raises((ConfigError, DataError), match=said):
        of_tables(folder, **options)
    assert not (folder / "g.h5").exists()


def test_a_column_of_ids_is_no_one_hot(folder, monkeypatch):
    monkeypatch.setattr("batchgnn.data.one_hot.MOST_VALUES", 2)
    with pytest.raises(DataError, match=r"column f: more than 2 different values"):
        of_tables(folder, one_hot=("f",))


def test_sparse_features_are_not_standardised(tmp_path):
    for options, name in (
        (ConvertOptions(standardize=True), "--standardize"),
        (ConvertOptions(fill="mean"), "--fill mean"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: the features of .* are sparse"):
            of_archive(tmp_path, options, **SPARSE)
