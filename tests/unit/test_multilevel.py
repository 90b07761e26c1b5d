"""The multilevel cut: its kernels, how good and even it is, the same for any number of threads."""

import numba
import numpy as np
import pytest
from checks import assert_like_reference, poison
from shards import graph_of, random_graph, two_triangles

import batchgnn.partition.cut_graph as cut_graphs
import batchgnn.partition.multilevel as multilevel
from batchgnn.base.errors import StoreError
from batchgnn.kernels.cluster import CHUNK, SAMPLED, grant_clusters, pair_up, propose_clusters
from batchgnn.kernels.contract import (
    count_coarse_arcs,
    fill_coarse_arcs,
    list_members,
    mark_heavy_arcs,
)
from batchgnn.kernels.refine import Contents, grant_shards, propose_shards
from batchgnn.partition.cut import Cut
from batchgnn.partition.cut_graph import CutGraph, cut_graph
from batchgnn.partition.levels import Level, clusters, contract, heaviest, rounds
from batchgnn.partition.metis import metis_shards, refuse_uncountable
from batchgnn.partition.multilevel import multilevel_shards
from batchgnn.partition.partition import memory_plan, require, with_method
from batchgnn.partition.plan import cut_plan, multilevel_plan
from batchgnn.partition.rebalance import rebalance
from batchgnn.partition.write import schema_of

KEY = np.uint64(7)
LARGER = CHUNK + 300
GRAPHS = {
    "no edges": ([], 5),
    "path": ([(v, v + 1) for v in range(5)], 6),
    "two triangles": ([(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)], 6),
    "star": ([(0, v) for v in range(1, 20)], 20),
    "hub": ([(0, v) for v in range(1, SAMPLED + 100)], LARGER),
    "two chunks": (np.random.default_rng(0).integers(0, LARGER, (3 * LARGER, 2)), LARGER),
}


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS)
def level(request):
    """A graph of vertices that count for one, or for none, of a seed."""
    graph = cut_graph(graph_of(*request.param))
    seed = np.arange(graph.num_vertices) % 3 == 0
    return Level(graph, np.column_stack([np.ones_like(seed), seed]).astype(np.uint8))


@pytest.fixture
def coarser():
    """Three levels of coarsening with METIS left little to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multilevel, "COARSE_ARCS", 500)
        patch.setattr(multilevel, "COARSE_VERTICES", 60)
        patch.setattr(multilevel, "METIS_ARCS", 4000)
        yield


def communities(num, size):
    """A graph of `num` communities, nine of ten neighbours inside, vertices scattered."""
    rng = np.random.default_rng(1)
    source = rng.integers(0, num * size, 8 * num * size)
    target = rng.integers(0, num * size, len(source))
    inside = rng.random(len(source)) < 0.9
    target[inside] = source[inside] // size * size + target[inside] % size
    return cut_graph(
        graph_of(rng.permutation(num * size)[np.stack([source, target], 1)], num * size)
    )


def labels_of(n, num):
    return np.random.default_rng(n).integers(0, num, n).astype(np.int32)


def loads_of(label, weight, num):
    return np.bincount(label, weight, num).astype(np.int64)


@pytest.mark.parametrize("limit", [1, 12, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_label_propagation_is_the_reference(level, limit, weighted):
    n, arcs = level.graph.num_vertices, level.arcs
    if weighted:
        arcs = arcs._replace(between=labels_of(len(arcs.indices), 5) + np.int32(1))
    label = labels_of(n, max(n // 2, 1))
    load = loads_of(label, arcs.weight, n)
    chunks = np.arange(-(-n // CHUNK))
    target = poison((len(chunks), CHUNK), np.int32)
    assert_like_reference(propose_clusters, KEY, chunks, arcs, label, load, limit, target)
    propose_clusters(KEY, chunks, arcs, label, load, limit, target)
    assert_like_reference(grant_clusters, chunks, target, arcs.weight, limit, label, load)
    grant_clusters(chunks, target, arcs.weight, limit, label, load)
    np.testing.assert_array_equal(load, loads_of(label, arcs.weight, n))


def test_singletons_meet_where_they_wanted_to():
    favourite = np.array([-1, 0, 0, 0, 5, -1, 0], np.int32)
    weight = np.array([9, 2, 2, 2, 2, 9, 1], np.int32)
    label, load, group = (
        np.arange(7, dtype=np.int32),
        weight.astype(np.int64),
        np.full(7, -1, np.int32),
    )
    assert_like_reference(pair_up, favourite, weight, 4, label, load, group)
    pair_up(favourite, weight, 4, label, load, group)
    np.testing.assert_array_equal(label, [0, 1, 1, 3, 4, 5, 3])


@pytest.mark.parametrize("weighted", [False, True])
def test_contraction_is_the_reference(level, weighted):
    arcs, n = level.arcs, level.graph.num_vertices
    if weighted:
        arcs = arcs._replace(between=labels_of(len(arcs.indices), 5) + np.int32(1))
    num_clusters = max(n // 4, 1)
    cluster = labels_of(n, num_clusters)
    cluster[np.diff(arcs.indptr) == 0] = -1
    members = poison(num_clusters + 1, np.int64), poison(n, np.int32)
    assert_like_reference(list_members, cluster, *members)
    list_members(cluster, *members)
    count = poison(num_clusters, np.int64)
    assert_like_reference(count_coarse_arcs, arcs, members, cluster, count)
    count_coarse_arcs(arcs, members, cluster, count)
    indptr = np.concatenate([[0], np.cumsum(count)])
    out = poison(indptr[-1], np.int32), poison(indptr[-1], np.int32)
    assert_like_reference(fill_coarse_arcs, arcs, members, cluster, indptr, *out)


def test_heavy_arcs_are_the_reference_and_keep_both_directions():
    graph = contract_once(communities(4, 200))
    m, n = len(graph.indices), graph.num_vertices
    arcs = Level(graph, graph.weight).arcs
    out = poison(m, bool), poison(n, np.int64)
    assert_like_reference(mark_heavy_arcs, KEY, 2, 0.5, arcs, *out)
    light = heaviest(graph, m // 2, 3)
    assert 0.8 * m / 2 < len(light.indices) < 1.2 * m / 2
    assert light.between.sum() / len(light.indices) > graph.between.sum() / m
    row = np.repeat(np.arange(n), np.diff(light.indptr))
    edges = set(zip(row, light.indices, strict=True))
    assert edges == {(u, v) for v, u in edges}
    assert heaviest(graph, m, 3) is graph


def contract_once(graph):
    finest = Level(graph, np.ones((graph.num_vertices, 1), np.uint8))
    return contract(finest, clusters(finest, 200, 0, 0, lambda count: None)).graph


def test_a_contracted_graph_has_the_weights_of_the_finer_one():
    graph = communities(4, 300)
    coarse = contract_once(graph)
    assert coarse.num_vertices < 0.5 * graph.num_vertices
    assert coarse.weight.sum() == graph.weight.sum()
    assert coarse.weight.max() <= 200
    assert 0 < coarse.between.sum() < len(graph.indices)


@pytest.mark.parametrize("slack", [0.9, 1.05, 3])
def test_refinement_is_the_reference(level, slack):
    arcs, n, num_shards = level.arcs, level.graph.num_vertices, 3
    shard = labels_of(n, num_shards)
    load = loads_of(shard, arcs.weight, num_shards)
    held = np.stack([loads_of(shard, c, num_shards) for c in level.counts.T], axis=1)
    most = np.ceil(slack * held.mean(axis=0)).astype(np.int64)
    shards = Contents(load, held, int(slack * load.mean()), most)
    chunks = np.arange(-(-n // CHUNK))
    target = poison((len(chunks), CHUNK), np.int32)
    assert_like_reference(propose_shards, chunks, arcs, level.counts, shard, shards, target)
    propose_shards(chunks, arcs, level.counts, shard, shards, target)
    assert_like_reference(grant_shards, chunks, target, arcs.weight, level.counts, shard, shards)
    grant_shards(chunks, target, arcs.weight, level.counts, shard, shards)
    np.testing.assert_array_equal(shards.load, loads_of(shard, arcs.weight, num_shards))
    assert set(np.flatnonzero(held[:, 0])) <= set(shard)


def test_every_chunk_has_one_round_of_a_pass():
    dealt = [list(rounds(100 * CHUNK - 1, 3, 0, step)) for step in (0, 1)]
    for each in dealt:
        np.testing.assert_array_equal(np.sort(np.concatenate(each)), np.arange(100))
    assert str(dealt[0]) != str(dealt[1])


def cut_of(graph, shard):
    row = np.repeat(np.arange(graph.num_vertices), np.diff(graph.indptr))
    return int((shard[row] != shard[graph.indices]).sum())


def no_seeds(graph):
    return np.empty((graph.num_vertices, 0), np.uint8)


def test_two_triangles_are_cut_at_one_edge():
    graph = cut_graph(two_triangles())
    assert cut_of(graph, multilevel_shards(graph, 2, 0, no_seeds(graph))) == 2


@pytest.mark.parametrize("num_shards", [4, 8])
def test_through_levels_the_cut_is_near_that_of_metis_and_even(coarser, num_shards):
    graph = communities(8, 1000)
    seeds = (np.arange(8000) % 5 == 0).astype(np.uint8)[:, None]
    shard = multilevel_shards(graph, num_shards, 1, seeds)
    shard = rebalance(shard, num_shards, seeds, graph).shard
    assert cut_of(graph, shard) < 1.1 * cut_of(graph, metis_shards(graph, num_shards, 1))
    for amount in (graph.weight, np.ones(8000), seeds[:, 0]):
        held = loads_of(shard, amount, num_shards)
        assert held.max() <= 1.06 * held.mean()


def test_vertices_without_edges_are_dealt_to_where_few_are(coarser):
    graph = cut_graph(
        graph_of(np.random.default_rng(0).integers(0, 2000, (9000, 2)) ** 2 // 2000, 6000)
    )
    seeds = (np.arange(6000) % 7 == 0).astype(np.uint8)[:, None]
    shard = multilevel_shards(graph, 4, 0, seeds)
    for amount in (np.ones(6000), seeds[:, 0]):
        held = loads_of(shard, amount, 4)
        assert held.max() <= 1.05 * held.mean()


def test_any_number_of_threads_gives_the_same_shards(coarser):
    graph, shards = communities(4, 1500), []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        shards.append(multilevel_shards(graph, 4, 5, no_seeds(graph)))
        numba.set_num_threads(before)
    np.testing.assert_array_equal(shards[0], shards[-1])


def test_no_shard_is_empty():
    star = cut_graph(graph_of([(0, v) for v in range(1, 9)], 12))
    for num_shards in range(1, 13):
        assert len(np.unique(multilevel_shards(star, num_shards, 0, no_seeds(star)))) == num_shards


def test_weights_are_made_small_enough_for_metis():
    heavy = np.full(3, 2**30, np.int32)
    graph = CutGraph(np.array([0, 1, 2, 2]), np.array([1, 0], np.int32), heavy, heavy[:2])
    small = multilevel._in_32_bits(graph)
    assert 0 < small.weight.sum(dtype=np.int64) < 2**31
    assert 0 < small.between.sum(dtype=np.int64) < 2**31


def test_wide_offsets_give_the_same_shards(coarser, monkeypatch):
    graph = random_graph(600, 3000)
    narrow = cut_graph(graph)
    monkeypatch.setattr(cut_graphs, "NARROW", 10)
    wide = cut_graph(graph)
    assert (narrow.indptr.dtype, wide.indptr.dtype) == (np.int32, np.int64)
    both = [multilevel_shards(each, 4, 0, no_seeds(each)) for each in (narrow, wide)]
    np.testing.assert_array_equal(*both)


def test_the_default_method_follows_the_memory_allowed(capsys):
    graph, cut = random_graph(300, 900), Cut(num_shards=4)
    need = cut_plan(schema_of(graph), 900).total
    assert with_method(graph, cut, 2 * need, show=True).method == "metis"
    assert capsys.readouterr().err == ""
    assert with_method(graph, cut, 2 * need - 2, show=True).method == "multilevel"
    assert capsys.readouterr().err.startswith("--method multilevel: metis would need")
    assert with_method(graph, Cut(num_shards=4, method="random"), 1).method == "random"


def test_what_metis_cannot_count_is_cut_by_multilevel():
    graph = random_graph(300, 900)
    many = type("Many", (), {"num_vertices": 300, "num_edges": 2**30, "name": "many"})
    with pytest.raises(StoreError, match="--method multilevel"):
        refuse_uncountable(many)
    refuse_uncountable(graph)


def test_the_plan_is_far_below_that_of_metis():
    schema = schema_of(random_graph(300, 900))
    multi, metis = multilevel_plan(schema, 10**9), cut_plan(schema, 10**9)
    assert multi.total < 0.2 * metis.total
    cut = Cut(num_shards=2, method="multilevel")
    assert memory_plan(random_graph(300, 900), cut).total > 0
    require(random_graph(300, 900), cut, 2**31)
