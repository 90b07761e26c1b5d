"""`convert npz`: small archives in every form, in bounded memory, and real graphs beside scipy."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from converters import EDGE_INDEX, SPARSE, X, edges_of, of_archive, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

import batchgnn
from batchgnn.base.errors import ConfigError, DataError, StoreError
from batchgnn.data import convert_npz as module
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_npz import convert_npz
from batchgnn.data.npz_file import NpzFile
from batchgnn.store.graph_store import GraphStore

ROOT = Path(batchgnn.__file__).parents[1]
DATA = Path(os.environ.get("BATCHGNN_DATA", ROOT.parent / "shared" / "data"))


@pytest.mark.parametrize("compressed", [False, True])
def test_an_undirected_csr_is_stored_once(compressed, tmp_path):
    graph = of_archive(tmp_path, compressed=compressed)
    assert edges_of(graph) == [(0, 1), (1, 2)]
    assert (graph.name, graph.directed, graph.num_classes) == ("path", False, 3)
    np.testing.assert_array_equal(graph.read_features(), X)
    assert graph.read_labels().tolist() == [1, 0, 2, -1]
    assert graph.read_split().tolist() == [[1], [2], [3], [0]]


def test_directed_says_the_archive_or_the_option(tmp_path):
    graph = of_archive(tmp_path, directed=np.array(True))
    assert graph.directed
    assert edges_of(graph) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    (tmp_path / "g.h5").unlink()
    assert of_archive(tmp_path, ConvertOptions(arcs="directed")).directed


FORMS = {
    "edge_index": {"edge_index": EDGE_INDEX},
    "edge_index by columns": {"edge_index": np.asfortranarray(EDGE_INDEX)},
    "big-endian": {"edge_index": EDGE_INDEX.astype(">i8")},
    "unsigned": {"edge_index": EDGE_INDEX.astype(np.uint32)},
    "source, target": {"source": EDGE_INDEX[0], "target": EDGE_INDEX[1]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_every_form_of_edges(form, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EDGE_CHUNK", chunk)
    graph = of_archive(tmp_path, indptr=None, indices=None, **FORMS[form])
    assert edges_of(graph) == [(0, 1), (1, 2)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_csr_of_any_shape_in_any_chunks(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    n = data.draw(st.integers(1, 20))
    counts = rng.integers(0, 5, n) * rng.integers(0, 2, n)
    indptr, indices = np.r_[0, np.cumsum(counts)], rng.integers(0, n, counts.sum())
    folder = tmp_path_factory.mktemp("csr")
    np.savez(
        folder / "a.npz", indptr=indptr, indices=indices, x=np.ones((n, 1)), y=np.zeros(n, int)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EDGE_CHUNK", data.draw(st.integers(1, 9)))
        patch.setattr(module, "VERTEX_CHUNK", data.draw(st.integers(1, 9)))
        options = ConvertOptions(arcs="directed", self_loops="keep")
        convert_npz(folder / "a.npz", folder / "g.h5", options, show=False)
    expected = list(zip(np.repeat(np.arange(n), counts).tolist(), indices.tolist(), strict=True))
    assert edges_of(GraphStore(folder / "g.h5")) == expected


def test_self_loops_are_dropped_and_counted_or_kept(tmp_path):
    loops = {"indptr": np.array([0, 2, 4, 5, 6]), "indices": np.array([0, 1, 0, 2, 1, 3])}
    path = saved(tmp_path, **loops)
    said = convert_npz(path, tmp_path / "drop.h5", show=False)
    assert "2 self-loops dropped" in str(said)
    assert edges_of(GraphStore(tmp_path / "drop.h5")) == [(0, 1), (1, 2)]
    said = convert_npz(path, tmp_path / "keep.h5", ConvertOptions(self_loops="keep"), show=False)
    assert "2 self-loops kept" in str(said)
    assert edges_of(GraphStore(tmp_path / "keep.h5")) == [(0, 0), (0, 1), (1, 2), (3, 3)]


def test_weights_are_kept_and_must_be_symmetric(tmp_path):
    weight = np.array([0.5, 0.5, -0.0, 0.0])
    graph = of_archive(tmp_path, edge_weight=weight)
    assert edges_of(graph) == [(0, 1, 0.5), (1, 2, 0.0)]
    (tmp_path / "g.h5").unlink()
    weight[3] = 2
    with pytest.raises(DataError, match=r"edge . -> . has no reverse . -> . of the same weight"):
        of_archive(tmp_path, edge_weight=weight)


@pytest.mark.parametrize("chunk", [1, 2, 1 << 20])
def test_sparse_features(chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EDGE_CHUNK", chunk)
    monkeypatch.setattr(module, "VERTEX_CHUNK", 3)
    graph = of_archive(tmp_path, **SPARSE)
    assert graph.sparse is not None
    np.testing.assert_array_equal(graph.read_features(), X)
    (tmp_path / "g.h5").unlink()
    graph = of_archive(tmp_path, **(SPARSE | {"x_data": None}))
    np.testing.assert_array_equal(graph.read_features(), X != 0)


@pytest.mark.parametrize("arrays", [{}, SPARSE, SPARSE | {"x_data": None}])
def test_rows_are_normalised_as_pyg_does(arrays, tmp_path):
    graph = of_archive(tmp_path, ConvertOptions(normalize_features="row"), **arrays)
    x = (X != 0).astype(np.float32) if arrays and arrays["x_data"] is None else X
    np.testing.assert_allclose(
        graph.read_features(), x / np.maximum(x.sum(axis=1), 1)[:, None], rtol=1e-6
    )


def test_half_width_features(tmp_path):
    graph = of_archive(tmp_path, ConvertOptions(feature_dtype="float16"))
    assert graph.read_features().dtype == np.float16
    with pytest.raises(ConfigError, match="sparse features are stored as float32"):
        convert_npz(
            saved(tmp_path, **SPARSE), tmp_path / "b", ConvertOptions(feature_dtype="float16")
        )


def test_integer_features_and_missing_labels(tmp_path):
    graph = of_archive(tmp_path, x=np.array([[1], [0], [7], [255]], np.uint8), y=None)
    assert graph.read_features().ravel().tolist() == [1, 0, 7, 255]
    assert graph.read_labels().tolist() == [-1] * 4


def test_labels_as_floats_with_nan_and_names_of_classes(tmp_path):
    names = np.array(["red", "green", "blue"])
    graph = of_archive(tmp_path, y=np.array([[1.0], [np.nan], [0], [0]]), class_names=names)
    assert graph.read_labels().tolist() == [1, -1, 0, 0]
    assert graph.class_names == ["red", "green", "blue"]
    assert graph.num_classes == 3


def test_multilabel_and_several_splits(tmp_path):
    y = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    # indexing by a list makes arrays in Fortran order, which must do as well
    masks = {
        f"{k}_mask": np.eye(4, 3, dtype=bool)[:, [i, 2 - i]] for i, k in enumerate(("train", "val"))
    }
    masks["val_mask"] = np.array([[0, 0], [1, 1], [0, 0], [0, 0]], bool)
    masks["test_mask"] = np.array([[0, 0], [0, 0], [1, 0], [0, 1]], bool)
    graph = of_archive(tmp_path, y=y, **masks)
    np.testing.assert_array_equal(graph.read_labels(), y)
    assert (graph.task, graph.num_classes, graph.num_splits) == ("multilabel", 2, 2)
    assert graph.read_split().tolist() == [[1, 0], [2, 2], [3, 1], [0, 3]]


def test_a_random_split_where_there_is_none_or_when_asked(tmp_path):
    none = {"train_mask": None, "val_mask": None, "test_mask": None}
    path = saved(tmp_path, **none)
    said = convert_npz(path, tmp_path / "a.h5", ConvertOptions(seed=4), show=False)
    assert "random split 0.6 0.2 0.2 (train, validation, test), seed 4" in str(said)
    options = ConvertOptions(split=(0.5, 0.5, 0), seed=4)
    graph = of_archive(tmp_path, options)
    split = graph.read_split()[:, 0]
    assert split[3] == 0  # unlabelled
    assert set(split[:3]) <= {1, 2}


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "g.h5").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        of_archive(tmp_path)
    assert (tmp_path / "g.h5").read_text() == "mine"


def test_rows_of_an_archive_from_the_middle(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", v=np.arange(20).reshape(10, 2), e=np.empty((3, 0)))
    with NpzFile(tmp_path / "a.npz") as npz:
        parts = list(npz.rows("v", 3, 2, 9))
        assert [part.tolist() for part in parts] == [
            *([[4, 5], [6, 7], [8, 9]], [[10, 11], [12, 13], [14, 15]], [[16, 17]]),
        ]
        assert [part.shape for part in npz.rows("e", 2)] == [(2, 0), (1, 0)]


MEASURE = """
    import resource, sys
    import numpy as np
    from batchgnn.data.convert import ConvertOptions
    from batchgnn.data.convert_npz import convert_npz
    convert_npz("small.npz", "small.h5", show=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    convert_npz("large.npz", "large.h5", ConvertOptions(arcs="directed"), show=False)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_stays_bounded_while_converting(tmp_path):
    saved(tmp_path).rename(tmp_path / "small.npz")
    n, m = 400_000, 12_000_000
    ends = np.random.default_rng(0).integers(0, n, (2, m))
    features = np.zeros((n, 150), np.float32)
    np.savez(tmp_path / "large.npz", edge_index=ends, x=features, y=np.zeros(n, np.int32))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert (tmp_path / "large.npz").stat().st_size > 430e6
    assert int(done.stdout) < 150e6  # chunks of 2^20 edges and 8 MiB of features


# --- the real graphs -----------------------------------------------------------------------------


def real(name):
    path = DATA / "static" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: set BATCHGNN_DATA to the folder of real graphs")
    return path


@pytest.mark.parametrize(
    "name", ["cora", "pubmed", "tolokers", "amazon-photo", "debian-deps", "wordnet"]
)
def test_a_real_graph_is_what_scipy_reads(name, tmp_path):
    path = real(name)
    convert_npz(path, tmp_path / "g.h5", show=False)
    graph, npz = GraphStore(tmp_path / "g.h5"), np.load(path)
    n = len(npz["indptr"]) - 1
    expected = csr_array(
        (np.ones(len(npz["indices"])), npz["indices"], npz["indptr"]), shape=(n, n)
    )

    source, target, _ = map(
        np.concatenate, zip(*((s, t, []) for s, t, _ in graph.iter_edges()), strict=True)
    )
    found = coo_array((np.ones(len(source)), (source, target)), shape=(n, n)).tocsr()
    if not bool(npz["directed"]):
        assert graph.num_edges == len(npz["indices"]) / 2
        found = found + found.T
    assert (abs(found - expected)).nnz == 0
    assert graph.directed == bool(npz["directed"]) == (name == "debian-deps")

    if "x" in npz:
        x = npz["x"]
    else:
        data = npz["x_data"] if "x_data" in npz else np.ones(len(npz["x_indices"]), np.float32)
        x = csr_array((data, npz["x_indices"], npz["x_indptr"]), shape=npz["x_shape"])
    rows = slice(n // 2, n // 2 + 1000)
    wanted = x[rows] if isinstance(x, np.ndarray) else x[rows].toarray()
    np.testing.assert_array_equal(graph.read_features(rows), wanted)
    np.testing.assert_array_equal(graph.read_labels(), npz["y"])
    assert graph.num_classes == npz["y"].max() + 1
    if "train_mask" in npz:
        split = graph.read_split()
        for part, key in enumerate(("train_mask", "val_mask", "test_mask"), 1):
            np.testing.assert_array_equal(split == part, npz[key].reshape(n, -1))
        assert graph.num_splits == (10 if name == "tolokers" else 1)


@pytest.mark.slow
def test_debian_files_is_unpacked(tmp_path):
    path = real("debian-files")
    convert_npz(path, tmp_path / "g.h5", show=False)
    graph, npz = GraphStore(tmp_path / "g.h5"), np.load(path)
    degree, delta = npz["deg_out"], npz["indices_delta"]
    ends = [
        np.concatenate(c) for c in zip(*((s, t) for s, t, _ in graph.iter_edges()), strict=True)
    ]
    np.testing.assert_array_equal(ends[0], np.repeat(np.arange(len(degree)), degree))
    np.testing.assert_array_equal(ends[1], np.cumsum(delta, dtype=np.int64))
    cat = npz["cat"][:1000].astype(int) + np.array([0, 3, 259, 291])
    onehot = np.zeros((1000, 547))
    np.put_along_axis(onehot, cat, 1, axis=1)
    np.testing.assert_array_equal(graph.read_features(slice(0, 1000)), onehot)
    split = graph.read_split()[:, 0]
    for code, part in ((0, 1), (1, 2), (2, 3), (3, 0), (255, 0)):
        assert (split[npz["split"] == code] == part).all()
    np.testing.assert_array_equal(graph.read_labels(), npz["y"])
