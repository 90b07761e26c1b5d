"""Reach probability: against the formula, and against what the sampler does, often enough."""

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI
from reference import reach as reference
from shards import arcs_of, graph_of

from batchgnn.base.rng import Purpose
from batchgnn.kernels.address import addresses
from batchgnn.kernels.reach import (
    WORD,
    ShardEdges,
    add_over_targets,
    log_missed_by_edge,
    mark_targets,
    marked_rows,
)
from batchgnn.kernels.rng import stream_key
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.macrobatch.mode import make_schedule
from batchgnn.run.session import open_session
from batchgnn.sampling.reach import Reach, marked_ids, probability, seed_probability
from batchgnn.sampling.sampler import Sampler

FANOUTS = {"three hops": (4, 2, 1), "all": (-1, -1), "seeds only": (), "mixed": (1, -1)}
TWO_SHARDS = [  # first id, targets of each vertex; ids 0 ... 2 and 130 ... 131 of 200
    (0, [[1, 2, 130], [], [64, 64, 199]]),
    (130, [[130, 131], [0, 129]]),
]


def arrays_of(shards):
    """The shards' arrays, as the kernels want them: first rows, addresses, first ids."""
    indptr = [np.cumsum([0, *map(len, rows)]) for _, rows in shards]
    indices = [np.array([v for row in rows for v in row], np.uint32) for _, rows in shards]
    first_row = np.cumsum([0, *(len(rows) for _, rows in shards)])
    first_id = np.array([first for first, _ in shards])
    where = first_row, addresses(indptr), addresses(indices)
    return ShardEdges(*where, indices[0][:0], first_id), (indptr, indices)


def test_marks_are_the_targets_outside_a_shard():
    edges, _alive = arrays_of(TWO_SHARDS)
    seen = np.zeros(-(-200 // WORD), np.uint64)
    mark_targets(edges, seen)
    assert set(marked_ids(seen).tolist()) == reference.mark_targets(TWO_SHARDS)


@pytest.mark.parametrize("width", [1, 3])
def test_sums_run_over_the_targets(width):
    edges, _alive = arrays_of(TWO_SHARDS)
    seen = np.zeros(-(-200 // WORD), np.uint64)
    mark_targets(edges, seen)
    by_id = np.random.default_rng(0).normal(size=(200, width)).astype(np.float32)
    own = np.array([0, 1, 2, 130, 131])
    outside = marked_ids(seen).tolist()
    rows = {int(v): n for n, v in enumerate(own)}
    halo = [v for v in outside if v not in rows][::-1]
    rows |= {v: 5 + n for n, v in enumerate(halo)}
    row_of = np.array([rows[v] for v in outside])
    x = by_id[[*own, *halo]]
    out = np.arange(5 * width, dtype=np.float32).reshape(5, width)
    targets = [row for _, lists in TWO_SHARDS for row in lists]
    expected = reference.add_over_targets(targets, by_id, out)
    add_over_targets(edges, marked_rows(seen, row_of), x, out)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("fanout", [-1, 1, 3])
def test_an_edge_is_missed_as_the_formula_says(fanout):
    log_missed = -np.float32([[0, 1e-6, 0.3], [5, np.inf, 0], [40, 2, 1], [np.inf, 0, 0.1]])
    degree = np.array([0, 1, 3, 7])
    out = np.full(log_missed.shape, np.nan, np.float32)
    log_missed_by_edge(log_missed, degree, fanout, out)
    expected = reference.log_missed_by_edge(log_missed, degree, fanout)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-12)


def scores_by_vertex(session, start_by_vertex, fanouts):
    """Reach.scores in the order of the graph store."""
    own = session.own
    scores = Reach(session.grid.world, own).scores(start_by_vertex[own.original_id], fanouts)
    out = np.empty_like(scores)
    out[own.original_id] = scores
    return out


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("fanouts", FANOUTS.values(), ids=FANOUTS)
def test_scores_are_the_formula(tmp_path, directed, fanouts):
    graph = learnable_graph(directed=directed, num_vertices=130)
    start = np.random.default_rng(0).random((130, 3)) * [1, 0.01, 0]
    start[:5, 0] = 1
    expected = reference.reach([arc[:2] for arc in arcs_of(graph)], start, fanouts)
    shards = shards_of(graph, tmp_path / "s")
    with open_session(shards, settings_of(threads=1), MPI.COMM_SELF) as session:
        scores = scores_by_vertex(session, start, fanouts)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(probability(scores), expected, rtol=1e-4, atol=1e-7)
    assert (scores[:5, 0] == np.inf).all()
    assert (scores[:, 2] == 0).all()


def how_often(session, fanouts, num_epochs):
    """Share of all steps in which each own vertex was among the rows that were sampled."""
    sampler, schedule = Sampler(session.grid.world, session.own, gcn=False), make_schedule(session)
    count = np.zeros(session.own.num_own)
    for epoch in range(num_epochs):
        shuffled = schedule.shuffled(epoch)
        steps = range(schedule.num_steps)
        frontiers = [schedule.own_seeds(shuffled, step) for step in steps]
        for hop, fanout in enumerate(fanouts):
            keys = [stream_key(0, Purpose.SAMPLE, epoch, step, hop) for step in steps]
            blocks = sampler.hop(frontiers, np.array(keys, np.uint64), fanout)
            frontiers = [block.ids for block in blocks]
        for ids in frontiers:
            count[session.own.ownership.local_rows(ids)] += 1
    return count / (num_epochs * schedule.num_steps)


def own_scores(session, fanouts):
    start = seed_probability(session.own, make_schedule(session))[:, None]
    return Reach(session.grid.world, session.own).scores(start, fanouts)[:, 0]


def tree():
    """0 is the only seed; 1 ... 6 point to it, and to each of these, two of their own."""
    edges = [(u, 0) for u in range(1, 7)]
    edges += [(5 + 2 * u + k, u) for u in range(1, 7) for k in (0, 1)]
    graph = graph_of(edges, 19, directed=True)
    graph.split[:] = np.arange(19)[:, None] == 0
    graph.label[:] = 0
    return graph


def test_on_a_tree_the_sampler_reaches_vertices_that_often(tmp_path):
    """Every vertex has one way to the seed: the formula is exact."""
    settings = settings_of(threads=1, batch_size=1)
    with open_session(shards_of(tree(), tmp_path / "s"), settings, MPI.COMM_SELF) as session:
        often = how_often(session, (3, 1), 4000)
        scores = own_scores(session, (3, 1))
        reached = probability(scores)
        vertex = session.own.original_id
        # The seed draws again in hop 2, which finds one of the others with 1 / 6.
        expected = np.select([vertex == 0, vertex < 7], [1, 1 - 1 / 2 * 5 / 6], 1 / 4)
        np.testing.assert_allclose(reached, expected, rtol=1e-6)
        np.testing.assert_allclose(often, expected, atol=0.04)  # 5 standard errors


@pytest.mark.parametrize("directed", [False, True])
def test_scores_rank_as_the_sampler_does(tmp_path, directed):
    """Vertices are not independent, so that probabilities are too high; their order is right."""
    graph = learnable_graph(directed=directed, num_vertices=400)
    settings = settings_of(threads=1, batch_size=20)
    with open_session(shards_of(graph, tmp_path / "s"), settings, MPI.COMM_SELF) as session:
        often = how_often(session, (3, 2), 60)
        reached = probability(own_scores(session, (3, 2)))
    assert np.corrcoef(often, reached)[0, 1] > 0.97
    assert often.mean() < reached.mean() < 1.12 * often.mean()
    best = np.argsort(-reached, kind="stable")[:100]
    most = np.sort(often)[-100:].sum()
    assert often[best].sum() > 0.93 * most
    assert often[best].sum() > 1.3 * 100 * often.mean()
