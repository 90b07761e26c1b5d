"""Generated graphs: what they promise, the same file for any chunking, and bounded memory."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array

import batchgnn
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.data.communities import Communities, CommunityOptions, generate_communities
from batchgnn.data.digits import DigitOptions, generate_digits
from batchgnn.data.generate import generate
from batchgnn.data.grid import Grid, GridOptions, generate_grid
from batchgnn.data.rmat import Rmat, RmatOptions, generate_rmat
from batchgnn.data.split import random_split
from batchgnn.store.graph_store import GraphStore

KINDS = {
    "communities": (Communities, CommunityOptions(vertices=500, degree=8, features=5, classes=4)),
    "rmat": (Rmat, RmatOptions(vertices=500, degree=8, features=5, classes=4)),
    "rmat directed": (Rmat, RmatOptions(vertices=500, degree=8, features=3, directed=True)),
    "grid": (Grid, GridOptions(vertices=507, features=5, classes=4)),
    "grid of degree 8": (Grid, GridOptions(vertices=507, degree=8, features=0, classes=4)),
}


def edges_of(path):
    """(source, target) of a graph store, int64."""
    parts = [np.empty((2, 0), np.int64)]
    parts += [np.stack([s, t]).astype(np.int64) for s, t, _ in GraphStore(path).iter_edges()]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_file_for_any_chunk_and_another_for_another_seed(kind, tmp_path):
    make, options = KINDS[kind]
    for name, chunk, seed in (("a", 1 << 20, 7), ("b", 64, 7), ("c", 1 << 20, 8)):
        one = replace(options, seed=seed)
        generate(make(one), one, tmp_path / name, name="graph", chunk=chunk, show=False)
    same = [(tmp_path / name).read_bytes() for name in "abc"]
    assert same[0] == same[1]
    assert same[0] != same[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_store_says_what_it_holds(kind, tmp_path):
    make, options = KINDS[kind]
    path = generate(make(options), options, tmp_path / "g.h5", name="graph", show=False)
    graph = GraphStore(path)
    source, target = edges_of(path)
    assert graph.num_vertices == options.vertices
    assert graph.num_features == options.features
    assert graph.num_classes == options.classes == len(np.unique(graph.read_labels()))
    assert graph.num_edges == len(source)
    assert not (source == target).any()
    counts = np.bincount(graph.read_split()[:, 0], minlength=4)
    shares = np.round(np.cumsum(options.split) * options.vertices)
    np.testing.assert_array_equal(np.cumsum(counts[1:]), shares)


@settings(max_examples=25, deadline=None)
@given(
    vertices=st.integers(2, 200),
    classes=st.integers(1, 5),
    degree=st.floats(0, 6),
    inside=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
)
def test_communities_are_simple_graphs(vertices, classes, degree, inside, seed):
    try:
        options = CommunityOptions(
            vertices=vertices, classes=classes, degree=degree, inside=inside, seed=seed, features=1
        )
        graph = Communities(options)
    except ConfigError:
        return
    source, target = np.concatenate([np.stack(part) for part in graph.edges(50)], axis=1)
    assert not (source == target).any()
    pairs = np.sort(np.stack([source, target]), axis=0)
    assert np.unique(pairs, axis=1).shape == pairs.shape
    assert pairs.min(initial=0) >= 0
    assert pairs.max(initial=0) < vertices


def test_communities_have_the_degree_and_the_homophily_asked_for(tmp_path):
    options = CommunityOptions(vertices=20_000, degree=20, inside=0.6, features=1, classes=5)
    path = generate_communities(tmp_path / "g.h5", options, show=False)
    source, target = edges_of(path)
    label = GraphStore(path).read_labels()
    degree = np.bincount(np.r_[source, target], minlength=options.vertices)
    assert degree.mean() == pytest.approx(20, rel=0.01)
    assert (label[source] == label[target]).mean() == pytest.approx(0.6, abs=0.02)
    # a power law: the largest degree is far above the mean, and the median is below it
    assert degree.max() > 10 * degree.mean()
    assert np.median(degree) < 0.8 * degree.mean()


def test_the_exponent_of_the_degrees_is_the_one_asked_for(tmp_path):
    for exponent in (2.5, 3.5):
        options = CommunityOptions(
            vertices=100_000, degree=10, exponent=exponent, features=0, classes=2
        )
        path = generate_communities(tmp_path / f"{exponent}.h5", options, show=False)
        degree = np.bincount(edges_of(path).ravel(), minlength=options.vertices)
        tail = degree[degree >= 40]
        hill = 1 + 1 / np.log(tail / 39.5).mean()  # Hill's estimator with a continuity correction
        assert hill == pytest.approx(exponent, abs=0.35)


def test_neighbours_tell_more_of_the_label_than_the_own_features(tmp_path):
    options = CommunityOptions(vertices=4000, degree=15, features=32, classes=5)
    graph = GraphStore(generate_communities(tmp_path / "g.h5", options, show=False))
    x, y, split = graph.read_features(), graph.read_labels(), graph.read_split()[:, 0]
    source, target = edges_of(tmp_path / "g.h5")
    ends = (np.r_[source, target], np.r_[target, source])
    adjacency = coo_array((np.ones(2 * len(source)), ends), shape=(4000, 4000)).tocsr()
    mean = (adjacency @ x) / np.maximum(adjacency.sum(axis=1), 1)[:, None]

    def accuracy(features):
        onehot = np.eye(5)[y]
        weights = np.linalg.lstsq(features[split == 1], onehot[split == 1], rcond=None)[0]
        return ((features[split == 3] @ weights).argmax(axis=1) == y[split == 3]).mean()

    assert 0.4 < accuracy(x) < 0.8
    assert accuracy(np.c_[x, mean]) > accuracy(x) + 0.1


def test_rmat_has_skewed_degrees_and_all_edges(tmp_path):
    options = RmatOptions(vertices=5000, degree=16, features=1)
    source, target = edges_of(generate_rmat(tmp_path / "g.h5", options, show=False))
    assert len(source) == 5000 * 16 / 2
    degree = np.bincount(np.r_[source, target])
    assert degree.max() > 20 * degree.mean()


def test_a_grid_of_seven_vertices(tmp_path):
    r"""0 - 1 - 2
    |   |   |
    3 - 4 - 5
    |
    6           width = ceil(sqrt(7)) = 3
    """
    options = GridOptions(vertices=7, features=1, classes=3)
    path = generate_grid(tmp_path / "g.h5", options, show=False)
    expected = {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5), (3, 6)}
    assert set(zip(*edges_of(path).tolist(), strict=True)) == expected
    assert GraphStore(path).read_labels().tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_grid_of_degree_eight_has_diagonals(tmp_path):
    options = GridOptions(vertices=9, degree=8, features=1, classes=1)
    path = generate_grid(tmp_path / "g.h5", options, show=False)
    across = {(0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8)}
    down = {(0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8)}
    diagonal = {(0, 4), (1, 5), (3, 7), (4, 8), (1, 3), (2, 4), (4, 6), (5, 7)}
    assert set(zip(*edges_of(path).tolist(), strict=True)) == across | down | diagonal


BAD = {
    "--vertices": CommunityOptions(vertices=1),
    "--degree": CommunityOptions(degree=-1),
    "--classes": CommunityOptions(vertices=20, classes=21),
    "--noise": CommunityOptions(noise=float("nan")),
    "--seed": CommunityOptions(seed=-1),
    "--split": CommunityOptions(split=(0.9, 0.2, 0.2)),
    "--features": CommunityOptions(features=-1),
    "--inside": CommunityOptions(inside=1.5),
    "--exponent": CommunityOptions(exponent=2.0),
    "half of it": CommunityOptions(vertices=100, classes=10, degree=20),
    "--quarters": RmatOptions(quarters=(0.5, 0.4, 0.3)),
    "diagonal": RmatOptions(quarters=(1.0, 0.0, 0.0)),
    "a grid has degree": GridOptions(degree=5),
    "band": GridOptions(vertices=9, classes=4),
}


@pytest.mark.parametrize("said", BAD)
def test_options_that_cannot_be_are_refused_by_name(said, tmp_path):
    options = BAD[said]
    make = {CommunityOptions: Communities, RmatOptions: Rmat, GridOptions: Grid}[type(options)]
    with pytest.raises(ConfigError, match=said):
        make(options)


def test_nothing_is_overwritten_and_nothing_left_behind(tmp_path):
    path = tmp_path / "g.h5"
    path.write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        generate_grid(path, GridOptions(vertices=9, classes=1), show=False)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("dtype", "none"), [(np.int32, -1), (np.float32, np.nan)])
def test_random_splits_are_exact_and_leave_out_the_unlabelled(dtype, none):
    labels = np.zeros(101, dtype)
    labels[::10] = none
    parts = [random_split(3, 101, (0.5, 0.2, 0.1), f, labels[f : f + 7]) for f in range(0, 101, 7)]
    whole = random_split(3, 101, (0.5, 0.2, 0.1), 0, np.zeros(101))
    assert np.bincount(whole).tolist() == [20, 50, 21, 10]  # ends 50.5, 70.7, 80.8, rounded
    split = np.concatenate(parts)
    np.testing.assert_array_equal(split, np.where(np.arange(101) % 10 == 0, 0, whole))


MEASURE = """
    import resource, sys
    from batchgnn.data.communities import CommunityOptions, generate_communities
    small = CommunityOptions(vertices=20_000, degree=10, features=32)
    generate_communities("small.h5", small, show=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = CommunityOptions(vertices=800_000, degree=20, features=100)
    generate_communities("large.h5", large, show=False)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_stays_bounded_while_generating(tmp_path):
    code = textwrap.dedent(MEASURE)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(batchgnn.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    size = (tmp_path / "large.h5").stat().st_size
    assert size > 380e6
    assert int(done.stdout) < 150e6  # chunks of 2^20 edges and 32 MiB of features, not the graph


def test_the_digits_graph(tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn (demo extra)")
    path = generate_digits(tmp_path / "d.h5")
    graph = GraphStore(path)
    source, target = edges_of(path)
    assert (graph.num_vertices, graph.num_features, graph.num_classes) == (1797, 64, 10)
    x = graph.read_features()
    assert x.min() == 0
    assert x.max() == 1
    assert (source < target).all()
    assert len(set(zip(source.tolist(), target.tolist(), strict=True))) == len(source)
    degree = np.bincount(np.r_[source, target])
    assert degree.min() >= 10  # each joins its ten nearest
    square = (x**2).sum(axis=1)
    distance = square[:, None] + square - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    joined = coo_array((np.ones(len(source)), (source, target)), shape=(1797, 1797)).tocsr()
    joined = joined + joined.T
    assert np.mean([joined[i, j] > 0 for i, j in enumerate(nearest)]) > 0.999  # ties aside
    label = graph.read_labels()
    assert (label[source] == label[target]).mean() > 0.95
    assert np.bincount(graph.read_split()[:, 0]).tolist() == [0, 1078, 360, 359]


def test_the_digits_need_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'batchgnn\[demo\]'"):
        generate_digits(tmp_path / "d.h5")
    assert list(tmp_path.iterdir()) == []


def test_digits_refuse_too_many_neighbours(tmp_path):
    with pytest.raises(ConfigError, match="--neighbors 1797"):
        generate_digits(tmp_path / "d.h5", DigitOptions(neighbors=1797))
