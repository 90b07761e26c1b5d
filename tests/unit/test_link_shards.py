"""Shards whose edges are split for link prediction: what is held out, and that nothing leaks."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph
from shards import Whole, arcs_of

from batchgnn.base.errors import ConfigError
from batchgnn.partition.partition import partition
from batchgnn.store.events import EventSpec
from batchgnn.store.link_verify import LinkCheck
from batchgnn.store.links import link_seeds
from batchgnn.store.shard_verify import verify

SHARES = (0.7, 0.1, 0.2)


def graph(directed):
    """With loops, parallel edges and, where directed, reverse ones."""
    found = learnable_graph(directed=directed, num_vertices=120)
    again = np.arange(0, found.num_edges, 3)
    source = np.concatenate([found.source, found.source[again], found.target[again], [5, 7]])
    target = np.concatenate([found.target, found.target[again], found.source[again], [5, 7]])
    weight = np.ones(len(source), np.float32) if directed else None
    return replace(found, source=source, target=target, weight=weight)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed"])
def cut(request, tmp_path_factory):
    """The graph, and its shards in several cuts."""
    whole, folder = graph(request.param), tmp_path_factory.mktemp("links")
    for name, shards, method in (
        ("one", 1, "random"),
        ("four", 4, "random"),
        ("metis", 3, "metis"),
    ):
        partition(whole, folder / name, method, shards, 2, links=SHARES)
        verify(folder / name)
    return whole, [Whole(folder / name) for name in ("one", "four", "metis")]


def held_out(found, name):
    """Sorted arcs (source, target) of a split, by rows of the graph store."""
    arcs = np.concatenate([getattr(shard, name) for shard in found.shards])
    return sorted(map(tuple, found.original[arcs.astype(np.int64)].tolist()))


def test_the_split_is_the_same_however_the_graph_is_cut(cut):
    _, (first, *others) = cut
    for other in others:
        assert other.arcs("in") == first.arcs("in")
        for name in ("link_val", "link_test"):
            assert held_out(other, name) == held_out(first, name)


def test_every_edge_is_of_one_part_and_no_pair_of_two(cut):
    whole, (_, found, _) = cut
    kept = [arc[:2] for arc in found.arcs("in")]
    parts = [kept, held_out(found, "link_val"), held_out(found, "link_test")]
    pairs = [{frozenset(arc) for arc in part if arc[0] != arc[1]} for part in parts]
    assert len(set.union(*pairs)) == sum(map(len, pairs))
    every = [arc[:2] for arc in arcs_of(whole)]
    assert Counter(kept) == Counter(
        arc for arc in every if frozenset(arc) in pairs[0] or arc[0] == arc[1]
    )
    assert sorted({*parts[1], *parts[2]} | {*kept}) == sorted({*every})
    assert len(parts[1]) == len({*parts[1]})
    shares = np.array([len(part) for part in pairs]) / sum(map(len, pairs))
    np.testing.assert_allclose(shares, SHARES, atol=0.06)


def test_what_is_trained_on_is_each_edge_once_in_the_shard_of_its_source(cut):
    whole, (_, found, _) = cut
    m, seeds = found.manifest, []
    for s, shard in enumerate(found.shards):
        side = "out" if m.directed else "in"
        arcs = getattr(shard, f"{side}_indptr"), getattr(shard, f"{side}_indices")
        how = {"num_vertices": m.num_vertices, "directed": m.directed}
        mine = np.concatenate([*link_seeds(*arcs, shard.first_vertex, **how)])
        assert len(mine) == m.num_seeds[s, 0]
        source, target = np.divmod(mine, m.num_vertices)
        assert ((source >= m.offset[s]) & (source < m.offset[s + 1])).all()
        seeds += zip(found.original[source].tolist(), found.original[target].tolist(), strict=True)
    arcs = {arc[:2] for arc in found.arcs("in") if arc[0] != arc[1]}
    if whole.directed:
        assert sorted(seeds) == sorted(arcs)
    else:
        assert sorted(map(sorted, seeds)) == sorted(sorted(arc) for arc in arcs if arc[0] < arc[1])
        assert 0.3 < np.mean([u < v for u, v in seeds]) < 0.7


def test_verify_finds_a_held_out_edge_that_messages_use(cut):
    found = cut[1][0]
    shard = found.shards[0]
    source, target, _ = next(arc for arc in found.arcs("in") if arc[0] != arc[1])
    new_id = np.argsort(found.original)
    leak = np.array([[new_id[source], new_id[target]]], np.uint32)
    check = LinkCheck(found.manifest)
    false = [name for name, holds in check.claims(replace(shard, link_test=leak)) if not holds]
    assert false == ["link/test: no edge of the topology"]
    assert check.agrees == found.manifest.directed  # its reverse is missing


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(tmp_path, shares):
    with pytest.raises(ConfigError, match=r"--links .*add up to 1"):
        partition(graph(False), tmp_path / "s", links=shares)
    assert not (tmp_path / "s").exists()


def test_a_stream_of_events_is_split_by_time(tmp_path):
    stream = replace(graph(False), events=EventSpec(num_events=3))
    with pytest.raises(ConfigError, match="is a stream of events"):
        partition(stream, tmp_path / "s", links=SHARES)
