"""`convert npz`: every refusal names the array and the row, and leaves nothing behind."""

import numpy as np
import pytest
from converters import CSR, EDGE_INDEX, SPARSE, X, of_archive, saved

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_npz import convert_npz

BAD = {
    "path.npz: indices, row 3: vertex 4 is out of range": {"indices": np.array([1, 0, 2, 4])},
    "indices, row 0: vertex -1 is out of range": {"indices": np.array([-1, 0, 2, 1])},
    "2 -> 3 has no reverse 3 -> 2": {"indices": np.array([1, 0, 2, 3]), "indptr": [0, 1, 2, 4, 4]},
    "indptr, row 2: 0 follows 3": {"indptr": np.array([0, 3, 0, 4, 4])},
    "begin with 0": {"indptr": np.array([1, 1, 3, 4, 4])},
    "ends with 3": {"indptr": np.array([0, 1, 3, 3, 3])},
    r"x, row 2, column 1: feature is nan": {"x": np.where(X == 2, np.nan, X)},
    r"x, row 0, column 0: feature is inf": {"x": np.where(X == 1, 1e300, X.astype(np.float64))},
    r"x has shape \(3, 3\), but the graph has 4 vertices": {"x": X[:3]},
    "x is stored by columns": {"x": np.zeros((4, 65), order="F")},
    "x is <U1, needed numbers": {"x": np.full((4, 1), "a")},
    r"y has shape \(3,\)": {"y": np.zeros(3, int)},
    "y, row 1: label -2 is out of range": {"y": np.array([0, -2, 0, 0])},
    "y, row 2: label 0.5 is no whole number.*--task regression": {"y": np.array([0, 1, 0.5, 0])},
    "labels are <U1": {"y": np.full(4, "a")},
    "y, row 3, column 1: label 2 of a multi-label": {
        "y": np.array([[0, 1], [0, 0], [1, 0], [0, 2]])
    },
    "masks, row 0: the vertex is in two": {"val_mask": np.ones(4, bool)},
    r"test_mask has shape \(4, 2\)": {"test_mask": np.zeros((4, 2), bool)},
    "one array for each of train, val and test .* found train_mask, val_mask": {"test_mask": None},
    "no edges. Needed the arrays indptr and indices": {"indptr": None, "indices": None},
    "no array indices": {"indices": None},
    "indices is float64, needed integers": {"indices": np.array([1.0, 0, 2, 1])},
    r"edge_index has shape \(4, 2\), needed \(2, E\)": {"indptr": None, "edge_index": EDGE_INDEX.T},
    r"target has\s+\(3,\)": {
        "indptr": None,
        "source": np.zeros(4, int),
        "target": np.zeros(3, int),
    },
    r"edge_weight has shape \(3,\)": {"edge_weight": np.ones(3)},
    "edge_weight, row 1: weight is nan": {"edge_weight": np.array([1, np.nan, 1, 1])},
    "edge_weight, row 2: weight is inf": {"edge_weight": np.array([1, 1, 1e39, 1])},
    "x, row 2: feature column 3 is out of range": SPARSE | {"x_indices": np.array([0, 2, 2, 3, 2])},
    "x, row 1: feature is nan": SPARSE | {"x_data": np.array([1, 3, np.nan, 2, 2], np.float32)},
    "x_data and x_indices differ": SPARSE | {"x_data": np.ones(4, np.float32)},
    "x_indptr, row 2": SPARSE | {"x_indptr": np.array([0, 2, 1, 5, 5])},
    "Python objects": {"y": np.array([{}, 1, 2, 3], object)},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_input_is_refused_by_name_and_nothing_is_left_behind(said, tmp_path):
    path = saved(tmp_path, **BAD[said])
    with pytest.raises(DataError, match=said) as caught:
        convert_npz(path, tmp_path / "g.h5", show=False)
    assert "path.npz" in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_negative_feature_cannot_be_normalised(tmp_path):
    options = ConvertOptions(normalize_features="row")
    for arrays in ({"x": -X}, SPARSE | {"x_data": -CSR.data}):
        with pytest.raises(DataError, match="row 0: a negative feature cannot be normalised"):
            of_archive(tmp_path, options, **arrays)


def test_a_label_above_the_given_classes(tmp_path):
    with pytest.raises(DataError, match=r"y, row 2: label 2 .* with 2 classes"):
        of_archive(tmp_path, ConvertOptions(classes=2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ConvertOptions(split=(0.9, 0.9, 0)), "--split 0.9 0.9 0"),
        (ConvertOptions(classes=0), "--classes 0"),
        (ConvertOptions(seed=-1), "--seed -1"),
    ],
)
def test_bad_options(options, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        of_archive(tmp_path, options)


def test_damaged_archives(tmp_path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    (tmp_path / "no.npz").write_text("hello")
    for bad, said in (("no.npz", "no .npz file"), ("absent.npz", "does not exist")):
        with pytest.raises(DataError, match=said):
            convert_npz(tmp_path / bad, tmp_path / "g.h5", show=False)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated"):
        convert_npz(path, tmp_path / "g.h5", show=False)
    saved(tmp_path, compressed=False)
    whole = bytearray(path.read_bytes())
    place = whole.index(X.tobytes())
    whole[place] ^= 1  # a flipped bit, which the zip's checksum finds
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"path\.npz: x is damaged .*CRC"):
        convert_npz(path, tmp_path / "g.h5", show=False)
    assert not (tmp_path / "g.h5").exists()
