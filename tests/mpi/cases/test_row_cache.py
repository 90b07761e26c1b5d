"""Copies of remote rows: the likeliest ones, the right rows, fewer bytes, and the same numbers."""

import numpy as np
import pytest
import reference.reach
import reference.row_cache
from graphs import learnable_graph
from mpi.together import SAMPLED, changed, sent_bytes, written
from shards import arcs_of

from batchgnn.comm.exchange import ArrayRows
from batchgnn.kernels.half import as_floats
from batchgnn.modes.macrobatch.mode import make_schedule
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.sampling import row_cache
from batchgnn.sampling.reach import Reach, probability, seed_probability
from batchgnn.sampling.row_cache import RowCache, best_remote
from batchgnn.watch import trace

FANOUTS = (3, 2)
BASE = changed(SAMPLED, fanouts=FANOUTS)
ROW = 13 * 4 + 4 * (4 + 4)  # bytes of a float32 row of the graph, its norm, its places in the table
SIZES = {"one row": str(ROW), "20 rows": str(20 * ROW), "more than there are": "1M"}


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def stored(request, shared_folder):
    """A graph and its shards."""
    options = {"directed": request.param}
    return learnable_graph(**options), written(shared_folder / f"{request.param}", **options)


def by_vertex(comm, own, values):
    """Values of all ranks' own rows in the order of the graph store."""
    ids = np.concatenate(comm.allgather(own.original_id))
    return np.concatenate(comm.allgather(values))[np.argsort(ids)]


def everyones(comm, own):
    """original_id of every vertex by its id in the shard store."""
    ids = np.concatenate(comm.allgather(own.ids))
    return np.concatenate(comm.allgather(own.original_id))[np.argsort(ids)]


def test_scores_over_ranks_are_the_formula(comm, stored):
    """A column for each rank's seeds: another rank may reach a vertex through any other."""
    graph, path = stored
    with open_session(path, BASE, comm) as session:
        own, start = session.own, np.zeros((session.own.num_own, comm.size))
        start[:, comm.rank] = seed_probability(own, make_schedule(session))
        scores = by_vertex(comm, own, Reach(session.grid.world, own).scores(start, FANOUTS))
        start = by_vertex(comm, own, start)
    expected = reference.reach.reach([arc[:2] for arc in arcs_of(graph)], start, FANOUTS)
    np.testing.assert_allclose(probability(scores), expected, rtol=1e-4, atol=1e-7)
    assert start.any(axis=0).all()


@pytest.mark.parametrize("scratch_bytes", [1, 1 << 28])
@pytest.mark.parametrize("capacity", [1, 17, 10**6])
def test_the_likeliest_remote_rows_are_chosen(comm, stored, monkeypatch, scratch_bytes, capacity):
    """In one block of ranks, and in a block for each; a vertex is likelier than all left out."""
    graph, path = stored
    monkeypatch.setattr(row_cache, "SCRATCH_BYTES", scratch_bytes)
    with open_session(path, BASE, comm) as session:
        own = session.own
        start = seed_probability(own, make_schedule(session))
        ids = best_remote(session.grid.world, own, own.ownership, start, FANOUTS, capacity)
        mine = np.zeros((graph.num_vertices, 1))
        mine[own.original_id, 0] = start
        chosen, remote = everyones(comm, own)[ids], np.ones(graph.num_vertices, bool)
        remote[own.original_id] = False
    reached = reference.reach.reach([arc[:2] for arc in arcs_of(graph)], mine, FANOUTS)[:, 0]
    assert len(chosen) == len(set(chosen)) == min(capacity, np.sum(remote & (reached > 0)))
    assert remote[chosen].all()
    left_out = remote.copy()
    left_out[chosen] = False
    if len(chosen):
        assert reached[chosen].min() > 0.9999 * reached[left_out].max(initial=0)
        assert (np.diff(reached[chosen]) < 1e-4).all()  # most likely first


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 1 << 25])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_copies_are_the_rows_of_their_owners(comm, stored, monkeypatch, chunk_bytes, dtype):
    """Of two matrices; uneven, and none on the first rank."""
    graph, path = stored
    monkeypatch.setattr(row_cache, "CHUNK_BYTES", chunk_bytes)
    rng = np.random.default_rng(comm.rank)
    with open_session(path, changed(BASE, feature_dtype=dtype), comm) as session:
        own, original = session.own, everyones(comm, session.own)
        remote = np.flatnonzero(own.ownership.owner(np.arange(400)) != own.rank)
        num = min(len(remote), 40 * comm.rank)
        ids = rng.permutation(remote)[:num].astype(own.ids.dtype)
        sources = {"features": own.features, "norm": ArrayRows(own.gcn_scale[:, None])}
        cache = RowCache(session.grid.world, own, own.ownership, sources, ids)
        assert cache.num_rows == num

        asked = rng.permutation(400).astype(own.ids.dtype)
        owner, rows = own.ownership.owner(asked), own.ownership.local_rows(asked)
        expected = reference.row_cache.redirect_rows(
            asked, owner, rows, own.rank, own.num_own, reference.row_cache.enter_rows(ids)
        )
        cache.redirect(asked, owner, rows)
        np.testing.assert_array_equal(owner, [o for o, _ in expected])
        copied = np.isin(asked, ids)
        assert (rows[copied] >= own.num_own).all()
        untouched = [row for (_, row), new in zip(expected, copied, strict=True) if not new]
        np.testing.assert_array_equal(rows[~copied], untouched)

        here = owner == own.rank
        column = cache.columns["features"]
        got = np.empty((here.sum(), column.width), column.dtype)
        column.take(rows[here], got)
        exact = graph.features[original[asked[here]]]
        assert (column.dtype == np.int16) == (dtype == "bfloat16")
        np.testing.assert_allclose(as_floats(got), exact, rtol=2**-8 if dtype else 0)
        norms = by_vertex(comm, own, own.gcn_scale)
        got = np.empty((here.sum(), 1), np.float32)
        cache.columns["norm"].take(rows[here], got)
        np.testing.assert_array_equal(got[:, 0], norms[original[asked[here]]])


def train(comm, path, settings):
    """Losses of two epochs; bytes of fetched rows and ids; needed and copied remote rows."""
    with open_session(path, settings, comm) as session:
        mode, losses = make_mode(session), []
        trace.reset()
        counts = np.zeros(2, np.int64)
        for epoch in range(2):
            losses += [r.loss_sum for r in mode.epoch(epoch)]
            counts += [mode.input_counts.num_remote, mode.input_counts.num_cached]
        sent = [sent_bytes(comm, trace.snapshot(), n) for n in ("input rows", "input rows ids")]
        losses, counts = (comm.allreduce(np.array(part)) for part in (losses, counts))
        sent = np.array(sent)
        return losses, sent, counts, mode.exactness


@pytest.fixture(scope="module")
def without():
    """What the ranks compute without a cache, by (path, settings)."""
    known = {}

    def of(comm, path, settings):
        if (path, settings) not in known:
            known[path, settings] = train(comm, path, settings)
        return known[path, settings]

    return of


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("model", ["sage", "gcn"])
@pytest.mark.parametrize("overlap", [False, True])
def test_losses_are_the_same_and_bytes_fall_by_the_copies(
    comm, stored, without, size, model, overlap
):
    settings = changed(BASE, model=model, overlap=overlap)
    losses, sent, (needed, none), _ = without(comm, stored[1], settings)
    same, fewer, (remote, hits), label = train(
        comm, stored[1], changed(settings, feature_cache=size)
    )
    np.testing.assert_array_equal(same, losses)
    assert (none, remote, label) == (0, needed, "exact")
    row_bytes = 12 * 4 + 4 * (model == "gcn")  # with its norm
    assert sent[0] - fewer[0] == hits * row_bytes
    assert sent[1] - fewer[1] == hits * 4
    if comm.size == 1:
        assert remote == hits == 0
    elif size == "1M":
        assert hits == remote > 0
        assert (fewer == 0).all()
    else:
        assert 0 < hits < remote


def test_likely_rows_are_hit_more_often_than_others(comm, stored):
    """Twenty copies serve more than twenty rows picked at random would."""
    settings = changed(BASE, batch_size=20, macrobatch=1, feature_cache=SIZES["20 rows"])
    _, _, (remote, hits), _ = train(comm, stored[1], settings)
    if comm.size > 1:
        at_random = 20 * comm.size / (400 * (comm.size - 1))
        assert hits / remote > 1.5 * at_random
