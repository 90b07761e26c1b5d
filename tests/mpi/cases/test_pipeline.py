"""Layers on different ranks: to the bit as on one, which tests/unit/test_pipeline.py holds to
what it should be; exact where it has to be, and bytes.
"""

import json
from functools import partial

import numpy as np
import pytest
from graphs import learnable_graph
from mpi.in_folder import trained
from mpi.together import (
    assert_same_training,
    changed,
    mean_loss,
    on_one_rank,
    train_whole,
    wait_asleep,
    written,
)
from mpi4py import MPI
from pipelines import LAYERS, Opened, exact, exactly, sent_in_an_epoch, settings_of

from batchgnn.modes.open import make_mode
from batchgnn.operators.history import ChunkedGraph
from batchgnn.partition.write import write_shards
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import open_session
from batchgnn.store.shard_store import ShardStore
from batchgnn.watch.timeline import read_timeline

train_alone, exactly_alone = on_one_rank(train_whole), on_one_rank(exactly)


@pytest.fixture(scope="module")
def stores(shared_folder):
    """Four chunks of a directed weighted graph, five of another."""
    return {
        "directed": written(shared_folder / "directed", 4, directed=True, num_vertices=101),
        "undirected": written(shared_folder / "undirected", 5, num_vertices=97),
        "uneven": written(shared_folder / "uneven", 5, directed=True, num_vertices=103),
    }


@pytest.mark.parametrize("model", ["gat", "gcnii"])
def test_the_first_epoch_after_an_exact_pass_goes_exactly_forward(comm, stores, model):
    """With dropout, and not so from rows of zeros."""
    losses = []
    for start in ("exact", "zero"):
        settings = settings_of(model, history_init=start)
        with open_session(stores["directed"], settings, comm) as session:
            losses.append(Opened(session).loss(0))
    expected, _ = exactly_alone(stores["directed"], settings)
    assert losses[0] == pytest.approx(expected, rel=1e-12)
    assert losses[1] != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("model", "every"), [("sage", 1), ("gat", 2)])
def test_fixed_weights_are_exact_after_k_l_epochs(comm, stores, model, every):
    """From rows of zeros, in any order of the chunks; the first epoch is far off."""
    none = {"dropout": 0.0, "attention_dropout": 0.0} if model == "gat" else {"dropout": 0.0}
    none |= {"input_dropout": 0.0, "history_every": every, "history_init": "zero"}
    settings = settings_of(model, **none)
    with open_session(stores["undirected"], settings, comm) as session:
        opened = Opened(session)
        losses = [opened.loss(epoch) for epoch in range(every * LAYERS + 1)]
    expected, _ = exactly_alone(stores["undirected"], settings)
    assert losses[-1] == pytest.approx(expected, rel=1e-12)
    assert losses[0] != pytest.approx(expected, rel=1e-6)


def test_stale_gradients_are_exact_at_a_fixed_point(comm, stores):
    settings = settings_of("gcn", gradient="stale", dropout=0.0, input_dropout=0.0)
    with open_session(stores["directed"], settings, comm) as session:
        opened = Opened(session)
        gradients = [opened.gradient(epoch) for epoch in range(LAYERS + 1)]
    _, expected = exactly_alone(stores["directed"], settings)
    np.testing.assert_allclose(gradients[-1], expected, rtol=1e-10, atol=1e-13)
    assert np.abs(gradients[0] - expected).max() > 1e-6


def with_an_empty_chunk(block, aggregation, bounds, **options):
    return ChunkedGraph(block, aggregation, np.insert(bounds, 2, bounds[2]), **options)


@pytest.mark.parametrize("model", ["sage", "gcn", "gat", "gcnii"])
def test_stages_change_no_bit(comm, stores, model, monkeypatch):
    """Layers in uneven runs, or parted by their cost, an empty chunk, dropout; with and without
    threads for messages; some layers are computed again on several ranks, and not on one.

    An exact pass before would add up in the order of the ranks.
    """
    if comm.size == 1:
        return
    monkeypatch.setattr("batchgnn.modes.pipeline.start.ChunkedGraph", with_an_empty_chunk)
    settings, found = settings_of(model, history_every=2, history_init="zero", lr=0.02), []
    for several, train in ((True, partial(train_whole, comm)), (False, train_alone)):
        here = {"overlap": several and model != "gcn", "recompute": several and model != "gin"}
        here |= {"stages": "auto"} if several and model != "sage" else {}
        settings = changed(settings, **here)
        store = stores["undirected"]
        found.append(train(store, settings, dtype=np.float32, epochs=5))
    assert found[0].losses == found[1].losses
    np.testing.assert_array_equal(found[0].parameters, found[1].parameters)


def check_what_files_tell(out, ranks):
    """Each chunk once through each stage, a slot later in the next one; how old rows were."""
    result = json.loads((out / "result.json").read_text())
    slots = result["slots"]
    assert (slots["chunks"], slots["each_way"], len(slots["idle"])) == (4, 4 + ranks - 1, ranks)
    assert slots["bubble"] == pytest.approx((ranks - 1) / (4 + ranks - 1), abs=1e-4)
    assert slots["bubble"] + slots["imbalance"] <= np.mean(slots["idle"]) + 1e-3
    assert 0 < result["staleness"]["share_of_edges"] < 0.5
    lines = RunFolder(out).read_metrics()
    assert [line["history_age"] for line in lines] == [0, 1, 2, 1]
    assert [line["epoch"] for line in lines if "guard_loss_gap" in line] == [3]
    timeline = read_timeline(out / "timeline.json")
    for way, place in (("chunk forward", 0), ("chunk backward", -1)):
        found = [[each.about for each in rank.spans if each.name == way] for rank in timeline.ranks]
        orders = [[each["chunk"] for each in of_rank] for of_rank in found]
        assert sorted(orders[0]) == [0, 1, 2, 3]
        assert all(order == orders[0] for order in orders)
        numbers = [[each["slot"] for each in of_rank] for of_rank in found]
        assert numbers[place] == [0, 1, 2, 3]
        assert len({n for each in numbers for n in each}) == slots["each_way"]


def test_a_run_goes_on_in_other_stages(comm, stores, shared_folder):
    """Stopped between two histories; gradients of the epoch before count too."""
    settings = settings_of("sage", gradient="stale", history_every=3, guard_every=3, epochs=4)
    found = []
    for resumes in (False, True):
        out = shared_folder / f"run-{comm.size}-{resumes}"
        if resumes:
            with trained(comm, stores["directed"], out, changed(settings, epochs=2)):
                pass
            if comm.rank == 0:
                with trained(MPI.COMM_SELF, stores["directed"], out, settings, resume=True):
                    pass
            wait_asleep()
        else:
            with trained(comm, stores["directed"], out, settings):
                check_what_files_tell(out, comm.size)
        found.append(RunFolder(out).read_model().parameters)
        found.append([line["loss"] for line in RunFolder(out).read_metrics()])
    result = json.loads((out / "result.json").read_text())
    assert result["exactness"] == "approximate: rows up to 3 epochs old"
    assert sum(result["stages"]) == LAYERS
    guard = result["guard"]
    assert (guard["every"], guard["epoch"], guard["exact_from"]) == (3, 3, None)
    assert abs(guard["loss_gap"]) < 0.1
    assert found[1] == found[3]
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(("model", "overlap"), [("gcn", False), ("gcnii", True)])
def test_bytes_are_rows_between_stages_there_and_back(comm, stores, model, overlap):
    """2 (S - 1) N H numbers, whatever the halo; GCNII's first rows travel beside the others."""
    settings = settings_of(model, overlap=overlap)
    with open_session(stores["undirected"], settings, comm) as session:
        mode = make_mode(session)
        sent = sent_in_an_epoch(session, mode, stores["undirected"])
    width = 10 * (1 + (model == "gcnii"))
    expected = 2 * (comm.size - 1) * 97 * width * 4
    assert sent.stages == expected
    assert sent.num_bytes == sent.prediction.bytes
    assert sent.num_calls == pytest.approx(comm.size * sent.prediction.calls)


def ways_of(comm):
    """Two stages of two, or all ranks one stage."""
    return 2 if comm.size % 2 == 0 else comm.size


def chunks_as_shards(path, to, ways):
    """A store of one shard for each chunk that so many ways take at once."""
    if MPI.COMM_WORLD.rank == 0 and not to.exists():
        store = ShardStore(path)
        first = store.manifest.num_shards * np.arange(ways + 1) // ways
        chunk = np.empty(store.manifest.num_vertices, np.int32)
        for way in range(ways):
            for k, shard in enumerate(range(first[way], first[way + 1])):
                chunk[store.shard(shard).original_id] = k
        graph = learnable_graph(directed=True, num_vertices=len(chunk))
        write_shards(graph, to, chunk, num_shards=int(chunk.max()) + 1)
    MPI.COMM_WORLD.Barrier()
    return to


@pytest.mark.parametrize("model", ["sage", "gcn", "gat", "gcnii"])
def test_ways_of_a_stage_are_one_rank_that_takes_their_chunks_as_one(
    comm, stores, shared_folder, model
):
    """Uneven runs of shards, so that a way's last chunk is empty; with gradients of the epoch
    before, with layers computed again. No dropout, which is keyed by the vertices' numbers, and no
    kept inputs, whose sums are of float32.
    """
    ways = ways_of(comm)
    none = {"dropout": 0.0, "attention_dropout": 0.0} if model == "gat" else {"dropout": 0.0}
    none |= {"input_dropout": 0.0}
    none |= {"aggregate_cache": "off"} if model in ("sage", "gcn") else {}
    gradient = "stale" if model == "sage" else "double"
    recompute = model in ("gcn", "gat")
    settings = settings_of(model, **none, history_every=2, gradient=gradient, recompute=recompute)
    whole = chunks_as_shards(stores["uneven"], shared_folder / f"merged-{ways}", ways)
    several = changed(settings, pipeline_ways=ways)
    got = train_whole(comm, stores["uneven"], several, epochs=5)
    assert_same_training(got, train_alone(whole, settings, epochs=5), rtol=1e-8)


def test_ways_send_their_halo_besides(comm, stores):
    """2 (S - 1) N H numbers between stages, and 2 L h H between ways, h rows of their halos."""
    ways = ways_of(comm)
    with open_session(stores["uneven"], settings_of("gcnii", pipeline_ways=ways), comm) as session:
        mode = make_mode(session)
        sent = sent_in_an_epoch(session, mode, stores["uneven"])
        swaps, stages = mode.line.graph.swaps, comm.size // ways
        halo = comm.allreduce(swaps.num_far if swaps else 0) // stages
        assert mode.totals()["slots"]["each_way"] == -(-5 // ways) + stages - 1
    assert sent.stages == 2 * (stages - 1) * 103 * 20 * 4
    assert sent.ways == 2 * LAYERS * halo * 10 * 4
    assert sent.num_bytes == pytest.approx(sent.prediction.bytes, rel=0.3)
    assert sent.num_calls == pytest.approx(comm.size * sent.prediction.calls)


def test_histories_of_ways_go_through_a_checkpoint(comm, stores):
    """Those of other ways are fetched again."""
    settings = settings_of("sage", history_every=3, gradient="stale", pipeline_ways=ways_of(comm))
    with open_session(stores["uneven"], settings, comm) as session:
        opened = Opened(session)
        for epoch in (0, 1):
            opened.loss(epoch)
        state, again = opened.mode.state(), make_mode(session)
        again.load(state)
        losses = [mode.gradient(2) for mode in (opened.mode, again)]
        assert losses[0] == losses[1]


def without_a_gap(session):
    """Opened, after an epoch in which the guard saw none."""
    opened = Opened(session)
    opened.loss(0)
    assert (opened.mode.exact_from, opened.mode.reading.epoch) == (0, 1)
    assert abs(opened.mode.reading.loss_gap) < 1e-12
    assert opened.mode.reading.disagreement == 0
    return opened


def test_the_guard_compares_the_rows_of_all_ways(comm, stores):
    """After an exact pass, with dropout, there is no gap."""
    settings = settings_of("sage", guard_every=1, gradient="drop", pipeline_ways=ways_of(comm))
    with open_session(stores["directed"], settings, comm) as session:
        without_a_gap(session)


@pytest.mark.parametrize("several", [False, True], ids=["one way", "ways"])
def test_rows_that_drift_are_seen_and_training_goes_on_exactly(comm, stores, several):
    """From the step of the reading on, in a resumed run too; before it the guard sees no gap."""
    ways = ways_of(comm) if several else 1
    settings = settings_of("gcnii", guard_every=1, gradient="drop", pipeline_ways=ways)
    with open_session(stores["directed"], settings, comm) as session:
        opened = without_a_gap(session)
        opened.make_wrong(100)
        losses = [mean_loss(comm, opened.mode.epoch(0))]
        assert opened.mode.exactness.endswith("old; exact from epoch 1 on")
        guard = opened.mode.totals()["guard"]
        assert guard["exact_from"] == 1
        assert max(guard["loss_gap"] / 0.1, guard["disagreement"] / 0.25) > 1
        state = opened.mode.state()
        again = make_mode(session)
        again.load(state)
        losses += [mean_loss(comm, again.epoch(epoch)) for epoch in (1, 2)]
    alone = exact(changed(settings, pipeline_ways=1))
    exactly = train_alone(stores["directed"], alone, epochs=3)
    np.testing.assert_allclose(losses, exactly.losses, rtol=1e-10)
