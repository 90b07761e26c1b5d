"""Cutting graphs: what is kept, how good the cut is, how it is ordered, what it costs."""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import order as reference
from shards import (
    Whole,
    arcs_of,
    graph_of,
    graphs,
    most_seeds,
    random_graph,
    static_graph,
    store_graph,
    two_triangles,
)

import batchgnn.partition.plan as plan
import batchgnn.partition.write as write
from batchgnn.base.bytes import MemoryPlan
from batchgnn.base.errors import ConfigError, MemoryPlanError
from batchgnn.kernels.order import cuthill_mckee
from batchgnn.partition.cut import METHODS, Cut
from batchgnn.partition.cut_graph import cut_graph
from batchgnn.partition.metis import fill_empty, metis_shards
from batchgnn.partition.partition import memory_plan, partition
from batchgnn.partition.random_shards import random_shards
from batchgnn.partition.spill import Spill, _sort_with_order, csr_of
from batchgnn.partition.supernode import supernode_shards
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.seeds import is_seed
from batchgnn.store.shard_verify import verify

ROOT = Path(__file__).parents[2]


@settings(deadline=None, max_examples=60)
@given(graphs(), st.sampled_from(METHODS), st.integers(1, 5), st.integers(0, 3), st.booleans())
def test_the_shards_together_are_the_graph(graph, method, num_shards, seed, through_a_store):
    num_shards = min(num_shards, graph.num_vertices)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shards"
        source = GraphStore(store_graph(graph, Path(folder) / "g.h5")) if through_a_store else graph
        manifest = partition(source, path, method, num_shards, seed)
        whole = Whole(path)
        verify(path)
        assert sorted(whole.original) == list(range(graph.num_vertices))
        assert (manifest.shard_vertices > 0).all()
        assert (manifest.task, manifest.num_classes) == (graph.task, graph.num_classes)
        assert whole.column("label").dtype == graph.label.dtype
        assert whole.arcs("in") == arcs_of(graph)
        if graph.directed:
            assert whole.arcs("out") == arcs_of(graph)
        np.testing.assert_array_equal(whole.column("features"), graph.features)
        assert whole.column("features").dtype == graph.features.dtype
        np.testing.assert_array_equal(whole.column("label"), graph.label)
        np.testing.assert_array_equal(whole.column("split"), graph.split)
        if graph.names is None:
            assert whole.column("name") is None
        else:
            np.testing.assert_array_equal(whole.column("name"), graph.names)


def labelled(label):
    """Whether a vertex has a label: several 0 or 1 always count as one, as does any number."""
    if label.dtype == np.float32:
        return not np.isnan(label)
    return np.ndim(label) == 1 or label >= 0


@settings(deadline=None, max_examples=30)
@given(graphs(), st.integers(1, 4))
def test_the_manifest_counts_what_brute_force_counts(graph, num_shards):
    num_shards = min(num_shards, graph.num_vertices)
    with tempfile.TemporaryDirectory() as folder:
        m = partition(graph, Path(folder) / "s", "random", num_shards)
        whole = Whole(Path(folder) / "s")
    shard = np.empty(graph.num_vertices, int)
    shard[whole.original] = np.repeat(np.arange(num_shards), m.shard_vertices)
    arcs = [(u, v) for u, v, _ in arcs_of(graph)]
    halo = {(u, shard[v]) for u, v in arcs if shard[u] != shard[v]}
    cut = sum(shard[u] != shard[v] for u, v in zip(graph.source, graph.target, strict=True))
    assert m.edge_cut == cut
    assert m.halo_factor == pytest.approx(len(halo) / graph.num_vertices)
    for s, r in np.ndindex(num_shards, graph.num_splits):
        own = np.flatnonzero((shard == s) & (graph.split[:, r] == 1))
        assert m.num_seeds[s, r] == sum(labelled(graph.label[v]) for v in own)
    between = np.zeros((num_shards, num_shards), int)
    for u, v in arcs:
        between[shard[u], shard[v]] += 1
    between += between.T
    np.fill_diagonal(between, 0)
    found = np.zeros_like(between)
    row = np.repeat(np.arange(num_shards), np.diff(m.quotient_indptr))
    found[row, m.quotient_indices] = m.quotient_weight
    np.testing.assert_array_equal(found, between)


def test_metis_cuts_the_two_triangles_at_one_edge(tmp_path):
    m = partition(two_triangles(), tmp_path / "s", "metis", 2, even_seeds=False)
    assert m.edge_cut == 1
    whole = Whole(tmp_path / "s")
    assert {frozenset(shard.original_id.tolist()) for shard in whole.shards} == {
        frozenset({0, 1, 2}),
        frozenset({3, 4, 5}),
    }


def test_the_cut_graph_is_simple_and_weighs_in_degrees():
    graph = graph_of([(0, 1), (0, 1), (1, 0), (2, 2), (0, 2)], 4, directed=True)
    cut = cut_graph(graph)
    np.testing.assert_array_equal(cut.indptr, [0, 2, 3, 4, 4])
    np.testing.assert_array_equal(cut.indices, [1, 2, 0, 0])
    np.testing.assert_array_equal(cut.weight, [2, 3, 3, 1])  # 1 + in-degree, doubles and loops too


def test_degrees_of_an_undirected_graph_count_a_loop_once():
    np.testing.assert_array_equal(cut_graph(graph_of([(0, 0), (0, 1)], 2)).weight, [3, 2])


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bytes(tmp_path, method):
    graph = random_graph(300, 900)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        partition(graph, tmp_path / name, method, 4, seed)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert bytes_of(tmp_path / "a") != bytes_of(tmp_path / "c")


@pytest.mark.parametrize("num_shards", [1, 3, 10])
def test_random_shards_have_equal_sizes(num_shards):
    sizes = np.bincount(random_shards(1000, num_shards, 0), minlength=num_shards)
    assert sizes.max() - sizes.min() <= 1


def test_super_nodes_stay_whole_and_are_dealt_evenly():
    graph = cut_graph(random_graph(400, 2000))
    clusters = metis_shards(graph, 24, 3)
    shard = supernode_shards(graph, 4, 3, 24)
    homes = [np.unique(shard[clusters == c]) for c in range(24)]
    assert all(len(home) == 1 for home in homes)
    np.testing.assert_array_equal(np.bincount(np.concatenate(homes)), [6, 6, 6, 6])


def test_a_graph_without_edges_is_cut_evenly():
    shard = metis_shards(cut_graph(graph_of([], 10)), 4, 0)
    assert sorted(np.bincount(shard)) == [2, 2, 3, 3]


def test_no_shard_stays_empty():
    shard = fill_empty(np.array([0, 0, 0, 2, 2], np.int32), 4)
    np.testing.assert_array_equal(shard, [0, 3, 1, 2, 2])
    star = cut_graph(graph_of([(0, v) for v in range(1, 9)], 9))
    for num_shards in range(1, 10):
        assert len(np.unique(metis_shards(star, num_shards, 0))) == num_shards


@settings(deadline=None)
@given(graphs(), st.integers(1, 3), st.randoms())
def test_cuthill_mckee_is_the_reference(graph, num_groups, random):
    cut, n = cut_graph(graph), graph.num_vertices
    group = np.array([random.randrange(num_groups) for _ in range(n)], np.int32)
    start = np.lexsort((np.diff(cut.indptr), group)).astype(np.int64)
    out, wanted = np.full(n, -1), np.full(n, -1)
    cuthill_mckee(cut.indptr, cut.indices, group, start, out)
    reference.cuthill_mckee(cut.indptr, cut.indices, group, start, wanted)
    np.testing.assert_array_equal(out, wanted)


def test_rcm_brings_neighbours_together(tmp_path):
    shuffled = np.random.default_rng(0).permutation(500)
    graph = graph_of(np.stack([shuffled[:-1], shuffled[1:]], axis=1), 500)  # a path
    spread = {}
    for order in ("natural", "rcm"):
        partition(graph, tmp_path / order, "metis", 2, order=order)
        shards = Whole(tmp_path / order).shards
        row = [np.repeat(np.arange(s.num_vertices), s.degree_in) + s.first_vertex for s in shards]
        spread[order] = [np.abs(s.in_indices - r) for s, r in zip(shards, row, strict=True)]
    near = np.concatenate(spread["rcm"])
    assert np.median(near) <= 2
    assert np.median(np.concatenate(spread["natural"])) > 50


def test_sorting_by_key_and_by_permutation_agree(tmp_path):
    rng = np.random.default_rng(0)
    offset = np.array([0, 40, 100])
    row, other = rng.integers(0, 100, (2, 3000)).astype(np.uint32)
    spill = Spill(tmp_path / "spill", offset, np.dtype(np.uint32))
    for part in np.array_split(np.arange(3000), 7):
        spill.add(row[part], other[part], None)
    np.testing.assert_array_equal(spill.count, [(row < 40).sum(), (row >= 40).sum()])
    inside = row >= 40
    records = np.empty(inside.sum(), spill.record)
    records["row"], records["other"] = row[inside], other[inside]
    indptr, indices, _ = csr_of(spill, 1, 60, 100)
    wanted = _sort_with_order(records, 40, 60, spill)
    np.testing.assert_array_equal(indptr, wanted[0])
    np.testing.assert_array_equal(indices, wanted[1])


def test_chunks_do_not_show(tmp_path, monkeypatch):
    graph = random_graph(500, 3000, weighted=True, directed=True)
    partition(graph, tmp_path / "whole", "metis", 3)
    monkeypatch.setattr(plan, "FEATURE_CHUNK_BYTES", 1000)
    monkeypatch.setattr(write, "EDGE_CHUNK", 77)
    partition(graph, tmp_path / "pieces", "metis", 3)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "pieces")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 7}, "--shards 7: needed between 1 and 6"),
        ({"num_shards": 0}, "--shards 0: needed between 1 and 6"),
        (
            {"num_shards": 2, "method": "best"},
            "--method best: needed one of metis, multilevel, random, supernode",
        ),
        ({"num_shards": 2, "order": "none"}, "--order none: needed one of rcm, natural"),
        (
            {"num_shards": 3, "clusters": 2, "method": "supernode"},
            r"--clusters 2: .* 3 \(--shards\)",
        ),
    ],
)
def test_settings_that_cannot_work(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        partition(two_triangles(), tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_refused_before_the_work(tmp_path):
    graph = random_graph(100, 200)
    object.__setattr__(graph, "iter_edges", None)  # reading the edges would fail
    with pytest.raises(MemoryPlanError, match=r"may use 1\.0 MiB.*--method random.*--memory"):
        partition(graph, tmp_path / "s", "metis", 2, memory=1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_too_large_to_sort_is_refused(tmp_path, monkeypatch):
    graph = graph_of([(0, 1)] * 1000, 4)
    monkeypatch.setattr(write, "sort_plan", lambda schema, largest: MemoryPlan({"arcs": largest}))
    with pytest.raises(MemoryPlanError, match="more shards"):
        write.write_shards(
            graph, tmp_path / "s", np.array([0, 0, 1, 1], np.int32), num_shards=2, memory=1999
        )
    assert list(tmp_path.iterdir()) == []


PARTITION = """
import sys
sys.path[:0] = sys.argv[1:3]
from batchgnn.partition.partition import partition
partition(sys.argv[3], sys.argv[4], sys.argv[5], int(sys.argv[6]))
"""


def peak_of_partition(graph, shards, method, count):
    """Largest anonymous memory of a process that partitions: what is held, page cache apart.

    It is watched from outside, because METIS keeps Python's lock.
    """
    arguments = [ROOT, ROOT / "tests", graph, shards, method, count]
    peak = 0
    with subprocess.Popen([sys.executable, "-c", PARTITION, *map(str, arguments)]) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"RssAnon:\s+(\d+) kB", status)
            peak = max(peak, int(found[1]) << 10 if found else 0)
            time.sleep(0.002)
    assert process.returncode == 0
    return peak


@pytest.fixture(scope="module")
def wide_graph(tmp_path_factory):
    """400,000 vertices with 512 MiB of features and 2.4 million edges, as a graph store."""
    graph = random_graph(400_000, 2_400_000)
    object.__setattr__(graph, "features", np.ones((400_000, 335), np.float32))
    return store_graph(graph, tmp_path_factory.mktemp("wide") / "g.h5")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("method", "count"), [("metis", 8), ("multilevel", 8), ("random", 8), ("random", 1)]
)
def test_measured_memory_is_within_the_plan(wide_graph, method, count):
    shards = wide_graph.parent / f"{method}-{count}"
    peak = peak_of_partition(wide_graph, shards, method, count)
    planned = memory_plan(GraphStore(wide_graph), Cut(method=method, num_shards=count)).total
    assert peak <= planned
    if method == "random":  # the features, 512 MiB, are never held whole
        assert planned < 512 << 20


def test_the_plan_grows_with_what_is_held():
    schema = write.schema_of(two_triangles())
    cut, writing = plan.cut_plan(schema, 10**8), plan.write_plan(schema, 10**8, 4)
    assert cut.largest == "METIS itself"
    assert cut.total > writing.total > plan.write_plan(schema, 10**8, 8).total
    assert writing.largest == "arcs of the largest shard"
    small = Cut(num_shards=4)
    assert memory_plan(two_triangles(), small).total >= plan.cut_plan(schema, 7).total


@pytest.mark.parametrize("num_shards", [4, 16])
@pytest.mark.parametrize("name", ["pubmed", "tolokers"])
def test_real_graphs(tmp_path, name, num_shards):
    graph = static_graph(name)
    cuts = {}
    for method in METHODS:
        m = partition(graph, tmp_path / method, method, num_shards)
        seeds = is_seed(graph.label, graph.read_split())
        assert (m.num_seeds.max(axis=0) <= most_seeds(seeds, num_shards)).all(), method
        cuts[method] = m.edge_cut / graph.num_edges
        verify(tmp_path / method)
    assert cuts["metis"] < 0.75 * cuts["random"]
    assert cuts["multilevel"] < 1.05 * cuts["metis"]
    assert cuts["metis"] < cuts["supernode"] < cuts["random"]
    whole = Whole(tmp_path / "metis")
    assert whole.manifest.balance < 1.25
    np.testing.assert_array_equal(whole.column("features"), graph.features)
    np.testing.assert_array_equal(whole.column("split"), graph.split)
    degree = np.bincount(graph.source, minlength=graph.num_vertices)
    degree += np.bincount(graph.target, minlength=graph.num_vertices)
    np.testing.assert_array_equal(whole.column("degree_in"), degree)
