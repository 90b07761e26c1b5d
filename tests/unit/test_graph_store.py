"""Graph stores: what is written is read, in any chunks; every damage is named; nothing is lost."""

import resource
import signal
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import edited

from batchgnn.base.errors import DataError, StoreError
from batchgnn.store import format as store_format
from batchgnn.store.graph_store import GraphStore, id_dtype_of
from batchgnn.store.graph_verify import verify
from batchgnn.store.graph_writer import GraphSpec, RawFeatures, write_graph

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
SPLIT = np.array([1, 2, 3, 0], np.uint8)
LABEL = np.array([0, 2, -1, 1], np.int32)
SOURCE, TARGET = np.array([0, 1, 3]), np.array([1, 2, 3])
SPEC = GraphSpec(name="square", num_vertices=4, directed=False, num_features=3, licence="CC0")


def write(path, spec=SPEC, features=FEATURES, label=LABEL, split=SPLIT, weight=None, names=None):
    with write_graph(path, spec) as writer:
        if features is not None:
            writer.append_features(features)
        writer.append_labels(label)
        writer.append_split(split)
        if names is not None:
            writer.append_names(names)
        writer.append_edges(SOURCE, TARGET, weight)
    return path


def edges_of(graph, chunk=2):
    parts = list(graph.iter_edges(chunk))
    return [None if c[0] is None else np.concatenate(c) for c in zip(*parts, strict=True)]


def test_what_is_written_is_read(tmp_path):
    graph = GraphStore(write(tmp_path / "g.h5"))
    assert (graph.name, graph.licence, graph.directed, graph.task) == (
        *("square", "CC0", False, "multiclass"),
    )
    assert (graph.num_vertices, graph.num_edges, graph.num_features) == (4, 3, 3)
    assert (graph.num_classes, graph.num_splits) == (3, 1)
    assert (graph.weighted, graph.has_name, graph.class_names) == (False, False, None)
    np.testing.assert_array_equal(graph.read_features(), FEATURES)
    np.testing.assert_array_equal(graph.features, FEATURES)
    np.testing.assert_array_equal(graph.read_features(slice(1, 3)), FEATURES[1:3])
    assert graph.read_features(slice(2, 2)).shape == (0, 3)
    np.testing.assert_array_equal(graph.read_labels(), LABEL)
    np.testing.assert_array_equal(graph.read_split(slice(1, 9)), SPLIT[1:, None])
    assert graph.read_names() is None
    source, target, weight = edges_of(graph)
    assert weight is None
    assert source.dtype == target.dtype == graph.id_dtype == np.uint32
    np.testing.assert_array_equal(source, SOURCE)
    np.testing.assert_array_equal(target, TARGET)


def test_what_is_read_is_a_copy(tmp_path):
    graph = GraphStore(write(tmp_path / "g.h5"))
    for array in (graph.read_features(), graph.read_labels(), graph.read_split()):
        assert array.flags.writeable
        assert type(array) is np.ndarray


@pytest.mark.parametrize(
    "names", [np.array([7, -1, 2**40, 0]), np.array([b"a", b"", b"xyz", b"b"])]
)
def test_names_weights_and_class_names(names, tmp_path):
    spec = replace(SPEC, name_dtype=names.dtype, weighted=True, class_names=["x", "y", "zä"])
    weight = np.array([0.5, -2, 0], np.float32)
    graph = GraphStore(write(tmp_path / "g.h5", spec, names=names, weight=weight))
    np.testing.assert_array_equal(graph.read_names(slice(1, 4)), names[1:])
    np.testing.assert_array_equal(edges_of(graph)[2], weight)
    assert graph.class_names == ["x", "y", "zä"]


def test_several_splits_and_several_labels(tmp_path):
    label, split = np.eye(4, 5, dtype=np.uint8), np.stack([SPLIT, SPLIT[::-1]], axis=1)
    spec = replace(SPEC, task="multilabel", num_classes=5, num_splits=2)
    graph = GraphStore(write(tmp_path / "g.h5", spec, label=label, split=split))
    np.testing.assert_array_equal(graph.read_labels(), label)
    np.testing.assert_array_equal(graph.read_split(), split)
    assert (graph.task, graph.num_classes, graph.num_splits) == ("multilabel", 5, 2)


NUMBERS = np.array([0.5, np.nan, -1, 1e30])


def test_numbers_as_labels_are_kept_with_nan_for_none(tmp_path):
    spec = replace(SPEC, task="regression")
    graph = GraphStore(write(tmp_path / "g.h5", spec, label=NUMBERS))
    np.testing.assert_array_equal(graph.read_labels(), NUMBERS.astype(np.float32))
    assert graph.read_labels(slice(1, 3)).dtype == np.float32
    assert (graph.task, graph.num_classes) == ("regression", 1)
    assert verify(graph.path).task == "regression"


def test_verify_names_the_row_of_a_number_that_is_infinite(tmp_path):
    path = write(tmp_path / "g.h5", replace(SPEC, task="regression"), label=NUMBERS)
    with edited(path) as file:
        file["vertex/label"][2] = np.inf
    with pytest.raises(StoreError, match="vertex/label has a value out of range in row 2"):
        verify(path)


def test_a_store_of_the_first_version_is_read(tmp_path):
    path = write(tmp_path / "g.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1
    np.testing.assert_array_equal(GraphStore(path).read_labels(), LABEL)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_datasets_are_contiguous_and_aligned(dtype, tmp_path):
    path = write(tmp_path / "g.h5", replace(SPEC, feature_dtype=dtype))
    assert GraphStore(path).feature_dtype == dtype
    with h5py.File(path) as file:
        names = [f"{group}/{name}" for group in file for name in file[group]]
        assert len(names) == 5
        for name in names:
            assert file[name].chunks is None
            assert file[name].id.get_offset() % store_format.ALIGNMENT == 0


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_sparse_features_are_dense_ones_in_any_chunks(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    n, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    values = data.draw(st.booleans())
    counts = rng.integers(0, 4, n)
    indices = rng.integers(0, width, counts.sum())
    stored = rng.normal(size=len(indices)).astype(np.float32) if values else None
    expected = np.zeros((n, width), np.float32)
    value = np.ones(len(indices), np.float32) if stored is None else stored
    np.add.at(expected, (np.repeat(np.arange(n), counts), indices), value)

    path = tmp_path_factory.mktemp("sparse") / "g.h5"
    kind = "sparse" if values else "binary"
    spec = replace(SPEC, num_vertices=n, num_features=width, features=kind)
    cut = data.draw(st.integers(0, n))
    with write_graph(path, spec) as writer:
        e = counts[:cut].sum()
        for rows, entries in ((slice(0, cut), slice(0, e)), (slice(cut, n), slice(e, None))):
            part = None if stored is None else stored[entries]
            writer.append_sparse_features(counts[rows], indices[entries], part)
        writer.append_labels(np.zeros(n, int))
        writer.append_split(np.zeros(n, np.uint8))
    graph = GraphStore(path)
    assert graph.features is None
    np.testing.assert_allclose(graph.read_features(), expected, rtol=1e-6, atol=1e-6)
    begin = data.draw(st.integers(0, n))
    found = graph.read_features(slice(begin, begin + 3))
    np.testing.assert_allclose(found, expected[begin : begin + 3], rtol=1e-6, atol=1e-6)


def test_a_graph_without_edges_or_features(tmp_path):
    spec = replace(SPEC, num_features=0)
    with write_graph(tmp_path / "g.h5", spec) as writer:
        writer.append_features(np.empty((4, 0), np.float32))
        writer.append_labels(np.full(4, -1))
        writer.append_split(np.zeros(4, np.uint8))
    graph = GraphStore(tmp_path / "g.h5")
    assert (graph.num_edges, graph.num_features, graph.num_classes) == (0, 0, 0)
    assert list(graph.iter_edges()) == []
    assert graph.read_features().shape == (4, 0)


def test_ids_take_eight_bytes_from_two_to_the_32_on():
    assert id_dtype_of(2**32 - 1) == np.uint32
    assert id_dtype_of(2**32) == np.uint64


def test_only_consecutive_rows_and_positive_chunks(tmp_path):
    graph = GraphStore(write(tmp_path / "g.h5"))
    with pytest.raises(ValueError, match="consecutive"):
        graph.read_labels(slice(0, 4, 2))
    with pytest.raises(ValueError, match="at least 1"):
        next(graph.iter_edges(0))


def linked(tmp_path):
    raw = tmp_path / "x.raw"
    raw.write_bytes(b"head" + FEATURES.tobytes())
    spec = replace(SPEC, raw_features=RawFeatures(raw, 4))
    return write(tmp_path / "g.h5", spec, features=None), raw


def test_linked_features_are_read_from_their_own_file(tmp_path, monkeypatch):
    path, raw = linked(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    np.testing.assert_array_equal(GraphStore(path).read_features(slice(1, 4)), FEATURES[1:])
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["vertex/features"][...], FEATURES)
    raw.write_bytes(raw.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"x\.raw is truncated: 51 bytes found.* byte 52"):
        GraphStore(path)
    raw.unlink()
    with pytest.raises(StoreError, match=r"linked to .*x\.raw, which does not exist"):
        GraphStore(path)


# --- damage --------------------------------------------------------------------------------------


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def with_file(change):
    def damage(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def replaced(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return with_file(change)


DAMAGE = {
    "does not exist": lambda path: path.unlink(),
    "is a folder": lambda path: (path.unlink(), path.mkdir()),
    "truncated": cut_off,
    "no HDF5 file": lambda path: path.write_text("source,target\n0,1\n"),
    "attribute `format` is 'batchgnn-shards'": with_file(
        lambda file: file.attrs.__setitem__("format", "batchgnn-shards")
    ),
    "no attribute `format`": with_file(lambda file: file.attrs.__delitem__("format")),
    "format version 6, this batchgnn reads up to 5": with_file(
        lambda file: file.attrs.__setitem__("format_version", 6)
    ),
    "'many' is no whole number": with_file(
        lambda file: file.attrs.__setitem__("num_edges", "many")
    ),
    r"num_vertices is -4\.": with_file(lambda file: file.attrs.__setitem__("num_vertices", -4)),
    "num_classes": with_file(lambda file: file.attrs.__delitem__("num_classes")),
    "task is 'ranking', needed one of": with_file(
        lambda file: file.attrs.__setitem__("task", "ranking")
    ),
    "num_classes is 3, needed 1 for regression": with_file(
        lambda file: file.attrs.__setitem__("task", "regression")
    ),
    "vertex/label is missing": with_file(lambda file: file.__delitem__("vertex/label")),
    "vertex/split is missing": with_file(lambda file: file.__delitem__("vertex/split")),
    r"vertex/label is int64 \(4,\), needed int32": replaced("vertex/label", np.zeros(4, int)),
    r"edge/target is uint32 \(2,\)": replaced("edge/target", np.zeros(2, np.uint32)),
    "not contiguous": with_file(
        lambda file: (
            file.__delitem__("edge/source"),
            file.create_dataset("edge/source", data=np.zeros(3, np.uint32), chunks=(2,)),
        )
    ),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named(said, tmp_path):
    path = write(tmp_path / "g.h5")
    DAMAGE[said](path)
    with pytest.raises(StoreError, match=said) as caught:
        GraphStore(path)
    assert "g.h5" in str(caught.value)


def test_a_sparse_column_out_of_range_is_named_rather_than_written_anywhere(tmp_path):
    spec = replace(SPEC, features="binary")
    with write_graph(tmp_path / "g.h5", spec) as writer:
        writer.append_sparse_features(np.ones(4, int), np.zeros(4, int))
        writer.append_labels(LABEL)
        writer.append_split(SPLIT)
    with h5py.File(tmp_path / "g.h5", "r+") as file:
        file["vertex/features/indices"][2] = 3
    graph = GraphStore(tmp_path / "g.h5")
    with pytest.raises(StoreError, match="rows 0 to 3: a column outside 0 to 2"):
        graph.read_features()


BAD_ROWS = {
    "NaN": {"features": np.full((4, 3), np.nan, np.float32)},
    "float16": {
        "features": np.full((4, 3), 1e6, np.float32),
        "spec": replace(SPEC, feature_dtype=np.float16),
    },
    "vertex/label: -2 after row 0 is no label": {"label": np.array([0, 1, -2, 0])},
    "2 after row 0 is no label of a multiclass": {"spec": replace(SPEC, num_classes=2)},
    "inf after row 0 is no label of a regression": {
        "label": np.array([0, 1e300, np.nan, 1]),
        "spec": replace(SPEC, task="regression"),
    },
    "vertex/split": {"split": np.array([0, 1, 4, 0], np.uint8)},
    "vertex/label: 3 rows found, needed 4": {"label": LABEL[:3]},
    "more than 4 rows of vertex/split": {"split": np.zeros(5, np.uint8)},
    "edge/source: values from 0 to 3, needed 0 to 2": {
        "spec": replace(SPEC, num_vertices=3),
        "features": FEATURES[:3],
        "label": LABEL[:3],
        "split": SPLIT[:3],
    },
    "edge/weight": {"spec": replace(SPEC, weighted=True), "weight": np.array([1, np.inf, 1])},
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("said", BAD_ROWS)
def test_a_bad_row_is_refused_and_nothing_is_left_behind(said, tmp_path):
    said_of = "NaN or infinity" if said == "float16" else said
    with pytest.raises(DataError, match=said_of):
        write(tmp_path / "g.h5", **BAD_ROWS[said])
    assert list(tmp_path.iterdir()) == []


# --- outputs -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk():
    """No file may grow beyond 64 KiB in this test: writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("columns", ["features", "edges"])
def test_a_full_disk_is_said_and_nothing_is_left_behind(columns, small_disk, tmp_path):
    spec = replace(SPEC, num_vertices=10_000 if columns == "features" else 4)
    with (
        pytest.raises(StoreError, match=r"g\.h5: no room to write it; .* free on that disk"),
        write_graph(tmp_path / "g.h5", spec) as writer,
    ):
        if columns == "features":
            writer.append_features(np.zeros((10_000, 3), np.float32))
        else:
            for _ in range(100):
                writer.append_edges(np.zeros(1000, int), np.ones(1000, int))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_overwritten(tmp_path):
    path = write(tmp_path / "g.h5")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists already: choose another name"):
        write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
