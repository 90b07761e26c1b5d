"""Aggregated inputs on P ranks: one rank's numbers, one rank's files, and the same training."""

from pathlib import Path

import numpy as np
import pytest
from mpi.together import by_vertex, changed, collectives, mean_loss, on_one_rank, written
from mpi4py import MPI

from batchgnn.base.errors import BatchGNNError
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.sampling.inference import Inference
from batchgnn.sampling.kept_inputs import InputAggregation, keep_inputs
from batchgnn.watch import trace

MODEL = {"mean": "sage", "sum": "gin", "gcn": "gcn"}
BASE = settings_of(threads=1, overlap=False, collective_timeout=60)
EPOCHS = 3
TRAINED = changed(
    BASE,
    layers=3,
    hidden=16,
    fanouts=(4, 3, -1),
    batch_size=60,
    macrobatch=2,
    lr=0.01,
    dropout=0.5,
)
VARIANTS = {
    "M = 1": {"macrobatch": 1},
    "M = 3, in files": {"macrobatch": 3, "aggregate_cache": "store"},
    "overlap": {"macrobatch": 3, "overlap": True},
    "narrow": {"hidden": 4, "norm": "layer", "layers": 2, "fanouts": (3, -1)},
    "one layer": {"layers": 1, "fanouts": (-1,)},
    "copies of remote rows": {"feature_cache": "8K"},
    "some": {"aggregate_memory": "2K"},
    "most, overlap": {"aggregate_memory": "4K", "overlap": True, "feature_cache": "4K"},
    "one kept": {"aggregate_memory": "48", "layers": 1, "fanouts": (-1,)},
    "all, as some": {"aggregate_memory": "1M", "hidden": 4, "norm": "layer"},
}


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def shards(request, shared_folder):
    return written(shared_folder / f"shards-{request.param}", directed=request.param)


@pytest.fixture
def fresh(comm, tmp_path_factory):
    """A shard store of this test alone."""
    folder = Path(comm.bcast(str(tmp_path_factory.mktemp("fresh"))))
    return written(folder / "shards")


def compute(comm, shards, aggregation, **options):
    """Aggregated rows by original id, and the bytes sent for them by this rank."""
    with open_session(shards, changed(BASE, model=MODEL[aggregation]), comm) as s:
        own = s.own
        out = [np.full(part.shape, np.nan, np.float32) for part in own.features.parts]
        plan = InputAggregation(s.grid.world, own, aggregation, list(range(len(out))))
        trace.reset()
        plan.into(out, **options)
        sent = trace.snapshot().get("main", {"collectives": {}})["collectives"]
        rows = dict(zip(own.original_id.tolist(), np.concatenate(out), strict=True))
        return rows, sent.get("aggregated sources", {"calls": 0, "bytes": 0}), plan


@on_one_rank
def numbers_of_one_rank(comm, shards, aggregation):
    return compute(comm, shards, aggregation)[0]


@pytest.mark.parametrize("aggregation", MODEL)
@pytest.mark.parametrize("block_bytes", [1, 1 << 12, 1 << 30])
def test_numbers_are_one_ranks_to_the_bit(comm, shards, aggregation, block_bytes):
    expected = numbers_of_one_rank(shards, aggregation)
    rows, sent, plan = compute(comm, shards, aggregation, block_bytes=block_bytes)
    for vertex, row in rows.items():
        np.testing.assert_array_equal(row, expected[vertex])
    if comm.size == 1:
        assert sent["calls"] == 0
        return
    assert sent["bytes"] == len(plan.exchange.send_rows) * 12 * 4  # each row once, all its columns
    column_bytes = max(
        comm.allgather(4 * (plan.exchange.num_received + len(plan.exchange.send_rows)))
    )
    fit = max(1, block_bytes // column_bytes)
    assert sent["calls"] == -(-12 // fit)


def aggregates(comm, shards, keep="store", model="sage"):
    """The rows of a fresh session, in its own order, and the session's first own id."""
    with open_session(shards, changed(BASE, model=model), comm) as s:
        column = keep_inputs(s.grid.world, s.own, s.model.aggregation, keep=keep)
        rows = np.empty((s.own.num_own, column.width), np.float32)
        column.take(np.arange(s.own.num_own), rows)
        return dict(zip(s.own.original_id.tolist(), rows, strict=True))


def files_of(comm, shards):
    """Bytes and time of the files of aggregated features."""
    comm.Barrier()
    found = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted((shards / "aggregate").iterdir())
    }
    comm.Barrier()
    return found


@pytest.mark.parametrize("model", ["sage", "gcn", "gin"])
def test_files_are_made_once_and_read_by_any_number_of_ranks(comm, fresh, model):
    in_memory = aggregates(comm, fresh, "memory", model)
    made = aggregates(comm, fresh, "store", model)
    before = files_of(comm, fresh)
    assert len(before) == 4
    again = aggregates(comm, fresh, "store", model)
    alone = aggregates(MPI.COMM_SELF, fresh, "store", model)
    assert files_of(comm, fresh) == before
    for vertex, row in in_memory.items():
        for other in (made, again, alone):
            np.testing.assert_array_equal(row, other[vertex])


def test_a_missing_file_is_made_again_and_the_others_left(comm, fresh):
    rows = aggregates(comm, fresh)
    before = files_of(comm, fresh)
    if comm.rank == 0:
        (fresh / "aggregate" / "mean-float32-00002.h5").unlink()
    comm.Barrier()
    again = aggregates(comm, fresh)
    after = files_of(comm, fresh)
    assert {name: data for name, (data, _) in after.items()} == {
        name: data for name, (data, _) in before.items()
    }
    changed = [name for name in after if after[name] != before[name]]
    assert changed == ["mean-float32-00002.h5"]
    for vertex, row in rows.items():
        np.testing.assert_array_equal(row, again[vertex])


def test_a_truncated_file_is_refused_on_all_ranks(comm, fresh):
    aggregates(comm, fresh)
    comm.Barrier()  # a file that another rank has mapped must not shrink
    path = fresh / "aggregate" / "mean-float32-00001.h5"
    if comm.rank == 0:
        path.write_bytes(path.read_bytes()[:2000])
    comm.Barrier()
    with pytest.raises(BatchGNNError, match=r"mean-float32-00001\.h5 is truncated") as refused:
        aggregates(comm, fresh)
    head, *where = str(refused.value).splitlines()
    assert "rm " in head
    assert len(where) == (comm.size > 1)  # the rank that saw it


def train(comm, shards, settings):
    """Mean loss of each epoch; the exact logits by original id; the collectives of this rank."""
    with open_session(shards, settings, comm) as session:
        mode, world = make_mode(session), session.grid.world
        trace.reset()
        losses = [mean_loss(world, mode.epoch(epoch)) for epoch in range(EPOCHS)]
        counted = collectives(trace.snapshot())
        own = session.own
        inference = Inference(world, own, session.model, 1 << 15, kept_inputs=mode.first.aggregated)
        return losses, by_vertex(session, inference.logits()), counted, mode.exactness


alone = on_one_rank(train)


@pytest.mark.parametrize("model", ["sage", "gcn", "gin"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_training_is_that_with_all_neighbours_in_the_last_hop(comm, shards, model, variant):
    settings = changed(TRAINED, **{"model": model, "aggregate_cache": "memory", **variant})
    plain = {"aggregate_cache": "off", "overlap": False, "macrobatch": 2, "feature_cache": None}
    plain["aggregate_memory"] = None
    expected, expected_logits, _, label = alone(shards, changed(settings, **plain))
    assert label == "exact"
    losses, logits, _, label = train(comm, shards, settings)
    assert label == "exact; first layer unsampled"
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0]
    for vertex, row in logits.items():
        np.testing.assert_allclose(row, expected_logits[vertex], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", ["sage", "gcn", "gin"])
def test_a_hop_of_messages_less_and_its_frontier(comm, shards, model):
    """2 (L - 1) + 2 rounds a macrobatch (3 with norms); a row is 2 D numbers, for GCN D."""
    settings = changed(TRAINED, model=model, aggregate_cache="memory")
    _, _, counted, _ = train(comm, shards, settings)
    if comm.size == 1:
        assert not counted.keys() - {"agreement"}
        return
    groups = counted["input rows ids counts"]["calls"]
    calls = {name: each["calls"] / groups for name, each in counted.items()}
    assert calls["sample requests"] == calls["sample replies"] == 2
    assert calls["input rows ids"] == 1
    assert calls["input rows"] == (2 if model == "gcn" else 1)
    ids, rows = (
        comm.allreduce(counted[name]["bytes"]) for name in ("input rows ids", "input rows")
    )
    assert rows == ids // 4 * 4 * (12 + 1 if model == "gcn" else 2 * 12)


def test_the_likeliest_hubs_are_kept_and_draw_no_edges(comm, shards):
    """48 bytes a row: 20 rows a rank; they save more edges than 20 rows picked at random would."""
    settings = changed(TRAINED, aggregate_cache="memory", aggregate_memory="960")
    with open_session(shards, settings, comm) as s:
        mode, own = make_mode(s), s.own
        skipped = mode.first.partial.skipped
        assert skipped.sum() == 20
        assert own.degree_in[skipped].mean() > 1.3 * own.degree_in.mean()
        kept = set(np.concatenate(comm.allgather(own.ids[skipped])).tolist())
        num_ready = 0
        for each in mode.prepare(0, range(2), mode.schedule.shuffled(0)):
            block, targets = each.blocks[-1], each.blocks[-1].ids[: each.blocks[-1].num_targets]
            is_kept = np.isin(targets, list(kept))
            drawn = np.where(is_kept, 0, block.degree)
            np.testing.assert_array_equal(np.diff(block.indptr), drawn)
            num_ready += is_kept.sum()
    assert comm.allreduce(num_ready) > 0


@pytest.mark.parametrize("model", ["sage", "gcn", "gin"])
@pytest.mark.parametrize("options", [{}, {"aggregate_memory": "1K"}], ids=["all", "some"])
def test_half_width_aggregates_are_rounded_alike_on_any_ranks(comm, shards, model, options):
    settings = changed(TRAINED, model=model, aggregate_cache="memory", feature_dtype="bfloat16")
    settings = changed(settings, **options)
    losses, _, counted, label = train(comm, shards, settings)
    those = f", those that {comm.size} ranks keep" * bool(options)
    assert label.endswith(f"first layer unsampled; its inputs aggregated to bfloat16{those}")
    if not options:  # which rows are rounded depends on how many each rank may keep
        expected, _, _, _ = alone(shards, settings)
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        if comm.size > 1:
            ids, rows = (
                comm.allreduce(counted[name]["bytes"]) for name in ("input rows ids", "input rows")
            )
            norms = 4 * (model == "gcn")
            assert rows == ids // 4 * (2 * 12 * (1 if model == "gcn" else 2) + norms)
    plain = changed(settings, feature_dtype=None, aggregate_memory=None)
    np.testing.assert_allclose(losses, alone(shards, plain)[0], rtol=0.01)
