"""Link prediction as a task: decoders and losses, negatives, scores, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from checks import assert_gradient
from graphs import learnable_graph, shards_of
from shards import arcs_of

from batchgnn.base.errors import ConfigError
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.nn.parameters import Parameters
from batchgnn.sampling.options import Sampling
from batchgnn.settings.fitting import misfits
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.against import Against
from batchgnn.tasks.decoders import DECODERS
from batchgnn.tasks.links import Links
from batchgnn.tasks.negatives import NONE, TrainingNegatives, scoring_negatives
from batchgnn.tasks.options import Negatives
from batchgnn.tasks.ordered import precision
from batchgnn.tasks.pair_losses import PAIR_LOSSES
from batchgnn.tasks.ranking import area, average_precision
from batchgnn.tasks.task import Roots

WIDTH, SPLITS = 5, ("train", "val", "test")


def task_of(decoder="dot", loss="bce", drawn=("uniform", 2), num_scored=9):
    return Links("mrr", loss, decoder, WIDTH, TrainingNegatives(*drawn), num_scored, seed=3)


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed"])
def stored(request, tmp_path_factory):
    """A graph and its shards, all on one rank."""
    graph = learnable_graph(directed=request.param, num_vertices=90)
    path = shards_of(graph, tmp_path_factory.mktemp("links") / "s", links=(0.6, 0.2, 0.2))
    store = ShardStore(path)
    ownership = Ownership(store.manifest.offset, np.zeros(4, np.int32))
    return graph, OwnShards(store, ownership, 0)


@pytest.mark.parametrize("kind", ["uniform", "shared", "pairs"])
@pytest.mark.parametrize("loss", PAIR_LOSSES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_are_those_of_differences(decoder, loss, kind, monkeypatch):
    monkeypatch.setattr("batchgnn.tasks.links.CHUNK_NUMBERS", 60)  # three edges at a time
    task, rng = task_of(decoder, loss), np.random.default_rng(0)
    parameters = Parameters(task.head(), seed=1, dtype=np.float64)
    task.attach(parameters)
    rows = rng.normal(size=(9, WIDTH))
    ends, others = rng.integers(0, 9, (2, 7)), rng.integers(0, 9, (2, 1 if kind == "shared" else 7))
    sources = rng.integers(0, 9, (2, 7)) if kind == "pairs" else None
    ends[1, 0], others[0, 0] = 4, 4  # no negative of the first edge
    alone = Against(ends[:, :1], others[:1, :1])
    roots = Roots(np.arange(9), [Against(ends, others, sources), alone], 8)
    _, gradient = task.loss(rows, roots, 0.1)
    head = parameters.grad.copy()

    def found():
        return 0.1 * task.loss(rows, roots, 0.1).sum

    assert_gradient(found, rows, gradient, rng, rtol=1e-5)
    if len(head):
        assert_gradient(found, parameters.buffer, head, rng, rtol=1e-5)


def test_roots_are_the_ends_of_the_edges_and_their_negatives(stored):
    own, task = stored[1], task_of()
    seeds = np.concatenate(task.seeds(own, 0).own)
    assert len(seeds) == task.seeds(own, 0).total
    roots = task.roots(own, seeds[:20], epoch=4)
    (group,) = vertices_of(roots)
    np.testing.assert_array_equal(group.ends[0] * own.num_own + group.ends[1], seeds[:20])
    np.testing.assert_array_equal(roots.edges, group.ends)
    (again,), (later,) = (vertices_of(task.roots(own, seeds[5:20], epoch=each)) for each in (4, 5))
    np.testing.assert_array_equal(again.others, group.others[:, 5:])
    assert (later.others != again.others).any()
    assert len(np.unique(roots.ids)) == len(roots.ids)


def vertices_of(roots):
    """What is compared with what, by ids."""
    at = [[None if each is None else roots.ids[each] for each in group] for group in roots.targets]
    return [Against(*each) for each in at]


def test_negative_pairs_have_both_ends_drawn(stored):
    own, task = stored[1], task_of(drawn=("pairs", 300))
    seeds = np.concatenate(task.seeds(own, 0).own)[:60]
    (group,) = vertices_of(task.roots(own, seeds))
    assert group.others.shape == group.sources.shape == (300, 60)
    for each in (group.others, group.sources):
        np.testing.assert_allclose(np.bincount(each.ravel()), 18_000 / 90, atol=80)
    np.testing.assert_array_equal(group.absent, group.others == group.sources)
    assert (group.others != group.sources).mean() > 0.97


def test_shared_negatives_are_those_of_the_shard_and_the_step(stored):
    own, task = stored[1], task_of(drawn=("shared", 6))
    every = task.seeds(own, 0).own
    several = vertices_of(task.roots(own, np.concatenate(every), epoch=1, step=2))
    assert [len(each) for each in every] == [group.ends.shape[1] for group in several]
    assert {group.others.shape for group in several} == {(6, 1)}
    assert len({group.others.tobytes() for group in several}) == len(several) > 1
    (alone,) = vertices_of(task.roots(own, every[2][3:], epoch=1, step=2))
    np.testing.assert_array_equal(alone.others, several[2].others)
    (later,) = vertices_of(task.roots(own, every[2][3:], epoch=1, step=3))
    assert (later.others != alone.others).any()


def test_in_batch_negatives_are_the_targets_of_the_shards_edges(stored, monkeypatch):
    own, task = stored[1], task_of(drawn=("in-batch", 0))
    every = task.seeds(own, 0).own
    roots = task.roots(own, np.concatenate(every), epoch=1)
    assert set(roots.ids.tolist()) == {
        *np.concatenate(np.divmod(np.concatenate(every), own.num_own))
    }
    for group in vertices_of(roots):
        assert sorted(group.others[:, 0]) == sorted(group.ends[1])
    monkeypatch.setattr("batchgnn.tasks.negatives.MOST_IN_BATCH", 5)
    fewer = vertices_of(task.roots(own, np.concatenate(every), epoch=1))
    later = vertices_of(task.roots(own, np.concatenate(every), epoch=2))
    for group in fewer:
        assert len(group.others) == 5
        assert {*group.others[:, 0]} <= {*group.ends[1]}
    assert any((a.others != b.others).any() for a, b in zip(fewer, later, strict=True))


def test_negatives_by_degree_come_as_often_as_degrees_say(comm, stored):
    own = stored[1]
    drawing = TrainingNegatives("degree", 30)
    drawing.begin(comm, own)
    (group,) = drawing.against(own, np.concatenate(own.link_seeds()), (0, 1, 0))
    found = np.bincount(group.others.ravel(), minlength=own.num_own) / group.others.size
    expected = own.degree_in**0.75 / (own.degree_in**0.75).sum()
    assert (found[own.degree_in == 0] == 0).all()
    np.testing.assert_allclose(
        found, expected, atol=5 * np.sqrt(expected.max() / group.others.size)
    )


def test_local_negatives_are_vertices_of_the_trainers_shards(stored):
    own, edges = stored[1], np.arange(4000)
    (every,) = TrainingNegatives("uniform", 1).against(own, edges, (0, 1, 0))
    (alike,) = TrainingNegatives("local", 1).against(own, edges, (0, 1, 0))
    np.testing.assert_array_equal(alike.others, every.others)
    some = Ownership(own.ownership.offset, np.array([-1, 0, -1, 0]))
    trainer = SimpleNamespace(manifest=own.manifest, ownership=some)
    (group,) = TrainingNegatives("local", 1).against(trainer, edges, (0, 1, 0))
    met = np.bincount(group.others[0], minlength=own.num_own)
    inside = np.isin(some.shard_of(np.arange(own.num_own)), [1, 3])
    assert (met[inside] > 0).all()
    assert not met[~inside].any()


@pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES)
def test_absent_negatives_count_for_nothing(loss):
    logits = np.random.default_rng(0).normal(size=(4, 3))
    fewer, holed = logits[[0, 1, 3]], logits.copy()
    holed[2] = -np.inf
    value, slope = loss(holed)
    assert value == pytest.approx(loss(fewer)[0], rel=1e-14)
    np.testing.assert_allclose(slope[[0, 1, 3]], loss(fewer)[1], rtol=1e-14)
    assert (slope[2] == 0).all()


def test_scoring_negatives_are_joined_to_the_source_by_no_edge_of_any_part(stored):
    graph, own = stored
    source, target, _ = (np.array(each) for each in zip(*arcs_of(graph), strict=True))
    row = {original: k for k, original in enumerate(own.original_id.tolist())}
    edges = {(row[u], row[v]) for u, v in zip(source.tolist(), target.tolist(), strict=True)}
    known = own.known_links()
    assert {*map(tuple, np.transpose(np.divmod(known, own.num_own)).tolist())} == edges
    asked = np.array([u * own.num_own + v for u, v in edges])
    for negatives in scoring_negatives(asked, 5, own.num_own, 0, known):
        pairs = set(zip((asked // own.num_own).tolist(), negatives.tolist(), strict=True))
        assert not pairs & edges
        assert all(u != v for u, v in pairs)
    every = np.arange(own.num_own**2)
    assert (scoring_negatives(every[:3], 5, own.num_own, 0, every) == NONE).all()


def test_training_negatives_are_uniform(stored):
    (group,) = TrainingNegatives("uniform", 1).against(stored[1], np.arange(90_000), (0, 1, 0))
    np.testing.assert_allclose(np.bincount(group.others[0]), 1000, atol=150)


def brute_force(own, rows, edges, negatives):
    """Scores by their definitions, one edge at a time."""
    n, ranks, worst, pairs = own.num_own, [], [], []
    for edge, others in zip(edges.tolist(), negatives.T.tolist(), strict=True):
        u, v = divmod(edge, n)
        mine, theirs = rows[u] @ rows[v], [rows[u] @ rows[w] for w in others]
        above = sum(each > mine for each in theirs)
        equal = sum(each == mine for each in theirs)
        ranks.append(1 + above + equal / 2)
        worst.append(1 + above + equal)
        pairs.append((mine, theirs[0]))
    values, kinds = np.array(pairs).T.ravel(), np.repeat([True, False], len(pairs))
    ranks, worst = np.array(ranks), np.array(worst)
    return {
        "mrr": (1 / ranks).mean(),
        "mrr-worst": (1 / worst).mean(),
        "hits@1": (ranks <= 1).mean(),
        "hits@10": (ranks <= 10).mean(),
        "hits@50": 1.0,
        "hits@100": 1.0,
        "hits@10-worst": (worst <= 10).mean(),
        "roc-auc": area(values, kinds),
        "ap": average_precision(values, kinds),
    }


def test_scores_are_those_by_definition_ties_included(comm, stored, monkeypatch):
    monkeypatch.setattr("batchgnn.tasks.links.CHUNK_NUMBERS", 400)
    own, task = stored[1], task_of(num_scored=12)
    task.attach(Parameters(task.head(), seed=1))
    rows = np.random.default_rng(1).integers(-1, 2, (own.num_own, WIDTH)).astype(np.float32)
    found = task.scores(comm, own, SimpleNamespace(logits=lambda: rows), dict.fromkeys(SPLITS))
    for split in SPLITS:
        edges = task._chosen(own, split)
        negatives = scoring_negatives(edges, 12, own.num_own, 0, own.known_links())
        expected = brute_force(own, rows, edges, negatives)
        assert {each.name: each.value for each in found[split]} == pytest.approx(expected)
    assert next(each.name for each in found["val"]) == "mrr"


def test_constant_scores_earn_nothing_by_ties(comm, stored):
    own, task = stored[1], task_of(num_scored=99)
    task.attach(Parameters(task.head(), seed=1))
    rows = np.ones((own.num_own, WIDTH), np.float32)
    found = task.scores(comm, own, SimpleNamespace(logits=lambda: rows), {"test": None})
    scores = {each.name: each.value for each in found["test"]}
    assert (scores["mrr"], scores["mrr-worst"]) == pytest.approx((1 / 50.5, 1 / 100))
    assert (scores["hits@50"], scores["hits@100"], scores["hits@10-worst"]) == (0, 1, 0)
    assert (scores["roc-auc"], scores["ap"]) == pytest.approx((0.5, 0.5))


def test_average_precision_of_dealt_values_is_that_of_all(comm):
    rng = np.random.default_rng(2)
    values = rng.integers(-5, 5, 300).astype(np.float32)
    positive = rng.random(300) < 0.3
    assert precision(comm, values, positive) == pytest.approx(average_precision(values, positive))
    assert np.isnan(precision(comm, values[:0], positive[:0]))


SAID = {
    **{None: ("uniform", 1), 2: ("uniform", 2), "2": ("uniform", 2), "uniform:2": ("uniform", 2)},
    **{
        "shared:16": ("shared", 16),
        "pairs:3": ("pairs", 3),
        "degree:3": ("degree", 3),
        "in-batch": ("in-batch", 0),
    },
}


@pytest.mark.parametrize("said", SAID)
def test_negatives_are_a_number_or_say_how(said):
    settings = settings_of(mode="fullgraph", task="links", negatives=said)
    assert settings[Negatives].drawn == SAID[said]
    assert not list(misfits(settings))


@pytest.mark.parametrize("said", [0, "shared", "uniform:0", "in-batch:2", "near:1"])
def test_other_negatives_are_refused(said):
    settings = settings_of(mode="fullgraph", task="links", negatives=said)
    assert "shared:NUMBER" in next(misfits(settings))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "pipeline"}, "take --mode macrobatch or fullgraph or tensor or averaging"),
        ({"feature_cache": "1M"}, "--feature-cache chooses rows by .* --task links trains on"),
        ({"aggregate_cache": "memory"}, r"leaves its own ones out .* take --no-exclude-seeds"),
        ({"negatives": "local:2"}, "no trainers: take uniform:2, or --mode averaging"),
        ({"mode": "fullgraph", "loss": "mse"}, "--loss mse is no loss of --task links"),
        ({"mode": "fullgraph", "metric": "rmse"}, "--metric rmse is no score of --task links"),
        ({"mode": "fullgraph", "task": "multiclass"}, "needs shards of multiclass"),
    ],
)
def test_what_does_not_fit_links_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolved(settings_of(options), "links")


def test_the_own_edges_of_a_step_are_left_out_where_there_are_edges():
    for said, found in ((None, True), (False, False)):
        assert resolved(settings_of(exclude_seeds=said), "links")[Sampling].exclude_seeds is found
    resolved(settings_of(exclude_seeds=False, aggregate_cache="memory"), "links")
    assert resolved(settings_of(), "multiclass")[Sampling].exclude_seeds is None
    with pytest.raises(ConfigError, match="those of --task multiclass are vertices"):
        resolved(settings_of(exclude_seeds=False), "multiclass")
