"""`inspect --trainers`: edges kept, spread of labels and balance of the deal of mode averaging."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of, with_numbers
from shards import random_graph

import batchgnn.partition.cli as cli
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.graph.deal import deal_shards_to
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.modes.averaging.check import deal_trainers
from batchgnn.partition.trainers import deal_to_trainers, label_spread
from batchgnn.store.shard_store import ShardStore


def trainer_of_vertex(store, trainers, seed=0):
    """int32 (N,): by original id."""
    m, found = store.manifest, np.full(store.manifest.num_vertices, -1)
    deal = deal_shards_to(m.num_shards, trainers, trainers, seed)
    for s in range(m.num_shards):
        found[store.shard(s).original_id] = deal[s]
    assert (found >= 0).all()
    return found


@pytest.mark.parametrize("method", ["metis", "random"])
@pytest.mark.parametrize("directed", [False, True])
def test_figures_are_those_of_the_graph_counted_edge_by_edge(tmp_path, method, directed):
    graph = learnable_graph(directed=directed)
    store = ShardStore(shards_of(graph, tmp_path / "s", 8, method))
    found, trainer = deal_to_trainers(store, 3, seed=5), trainer_of_vertex(store, 3, seed=5)
    inside = trainer[graph.source] == trainer[graph.target]
    assert found.kept_ratio == pytest.approx(inside.mean(), rel=1e-12)
    arcs = np.bincount(trainer[graph.target][inside], minlength=3)
    assert found.edges.tolist() == (arcs if directed else 2 * arcs).tolist()
    assert found.vertices.tolist() == np.bincount(trainer, minlength=3).tolist()
    is_seed = (graph.split == 1) & (graph.label >= 0)
    assert found.seeds.tolist() == np.bincount(trainer[is_seed], minlength=3).tolist()
    assert sorted(found.shards.tolist()) == [2, 3, 3]
    known = graph.label[graph.label >= 0]
    of_all = np.bincount(known, minlength=4) / len(known)
    spread = []
    for t in range(3):
        mine = graph.label[(trainer == t) & (graph.label >= 0)]
        spread.append(np.abs(np.bincount(mine, minlength=4) / len(mine) - of_all).sum() / 2)
    assert found.label_spread == pytest.approx(np.mean(spread), rel=1e-12)


def test_many_shards_keep_as_many_edges_as_the_formula_says(tmp_path):
    graph = random_graph(4000, 40_000)
    store = ShardStore(shards_of(graph, tmp_path / "s", 300, "random"))
    for trainers in (2, 3):
        found = deal_to_trainers(store, trainers, seed=1)
        trainer = trainer_of_vertex(store, trainers, seed=1)
        arcs = np.where(graph.source == graph.target, 1, 2)
        r = np.average(trainer[graph.source] == trainer[graph.target], weights=arcs)
        assert found.kept_ratio == pytest.approx(r, rel=1e-12)
        assert abs(found.kept_ratio - found.expected) < 0.01
        assert abs(found.kept_ratio - 1 / trainers) < 0.02


@pytest.mark.parametrize("trainers", [1, 4])
def test_as_many_trainers_as_shards_have_one_each_and_one_has_all(tmp_path, trainers):
    store = ShardStore(shards_of(learnable_graph(), tmp_path / "s", 4, "metis"))
    found, m = deal_to_trainers(store, trainers, seed=0), store.manifest
    assert found.shards.tolist() == [4 // trainers] * trainers
    cut = 0 if trainers == 1 else 2 * m.edge_cut
    assert found.edges.sum() == m.num_edges - cut
    if trainers == 1:
        assert (found.kept_ratio, found.expected, found.label_spread) == (1, 1, 0)
    else:
        assert sorted(found.vertices) == sorted(m.shard_vertices)


def test_trainers_of_a_run_have_what_was_said(tmp_path):
    store = ShardStore(shards_of(learnable_graph(), tmp_path / "s", 9))
    settings = resolved(settings_of(mode="averaging", trainers=3, seed=2), store.manifest.task)
    ranks = deal_trainers(store, 6, settings).ownership
    vertices = np.bincount(ranks.rank_of_shard // 2, store.manifest.shard_vertices)
    assert deal_to_trainers(store, 3, seed=2).vertices.tolist() == vertices.tolist()


def test_spread_of_parts_without_a_common_class():
    assert label_spread(np.array([[5, 0], [0, 5]])) == 0.5
    assert label_spread(np.array([[5, 5], [1, 1], [0, 0]])) == 0


def shown(capsys, *args, **options):
    capsys.readouterr()
    cli.inspect(*args, **options)
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_inspect_prints_it(tmp_path, capsys):
    path = shards_of(learnable_graph(), tmp_path / "s", 8)
    said = shown(capsys, path, trainers=3, seed=4)
    found = deal_to_trainers(ShardStore(path), 3, seed=4)
    assert f"edges kept r {found.kept_ratio:.3f}" in said
    assert f"label spread {found.label_spread:.3f}" in said
    assert "most / mean" in said
    assert "edges kept" not in shown(capsys, path)
    many = shards_of(random_graph(300, 900), tmp_path / "many", 40)
    assert "least 1" in shown(capsys, many, trainers=40)


def test_labels_of_other_tasks(tmp_path, capsys):
    several = learnable_graph(multilabel=True)
    store = ShardStore(shards_of(several, tmp_path / "several"))
    trainer = trainer_of_vertex(store, 2)
    shares = [several.label[trainer == t].sum(axis=0, dtype=np.int64) for t in range(2)]
    assert deal_to_trainers(store, 2, 0).label_spread == label_spread(np.array(shares))
    numbers = shards_of(with_numbers(learnable_graph()), tmp_path / "numbers")
    assert "label spread no classes" in shown(capsys, numbers, trainers=2)
    links = shards_of(learnable_graph(), tmp_path / "links", links=(0.8, 0.1, 0.1))
    assert "label spread no classes" in shown(capsys, links, trainers=2)
    none = replace(learnable_graph(), label=np.full(400, -1, np.int32))
    assert "no classes" in shown(capsys, shards_of(none, tmp_path / "none"), trainers=2)


def test_what_cannot_be_dealt_is_said(tmp_path):
    path = shards_of(learnable_graph(), tmp_path / "s")
    with pytest.raises(StoreError, match="has 4 shards, too few for --trainers 5: take fewer"):
        cli.inspect(path, trainers=5)
    with pytest.raises(StoreError, match="--trainers is about shards"):
        cli.inspect(tmp_path / "g.h5", trainers=5)
    with pytest.raises(ConfigError, match="--seed draws the deal among trainers"):
        cli.inspect(path, seed=5)
