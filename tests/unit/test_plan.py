"""`batchgnn plan`: values computed by hand, the modes' own memory plans, the file of rates."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from rich.console import Console

from batchgnn.base.bytes import MemoryPlan
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.comm.step_sum import message_bytes
from batchgnn.modes.assembly import changed, settings_of
from batchgnn.modes.kinds import MODES
from batchgnn.modes.macrobatch.size import MacrobatchSize
from batchgnn.modes.open import plan_memory
from batchgnn.nn.model import ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.nn.work import decoupled_messages, decoupled_work, layer_work
from batchgnn.plan.beside import plan_entry
from batchgnn.plan.calibrate import group_sizes as calibrated_groups
from batchgnn.plan.calibrate import line_through
from batchgnn.plan.choose import Choice, compare_modes, make_job, predict
from batchgnn.plan.command import plan
from batchgnn.plan.prediction import (
    AGGREGATION,
    MESSAGES,
    PACKING,
    PRODUCTS,
    ROWS,
    SAMPLING,
    TERMS,
    Prediction,
)
from batchgnn.plan.rates import ASSUMED, EdgeRates, Line, Link, Rates, read_rates, write_rates
from batchgnn.plan.sampled import distinct_of, frontiers_of, group_sizes
from batchgnn.plan.table import plan_table, unbroken
from batchgnn.run.session import open_session
from batchgnn.store.shard_store import read_manifest

OF_VERTICES = [name for name, kind in MODES.items() if not kind.of_events]

SIMPLE = Rates(
    where="made up",
    num_nodes=1,
    flops=1000.0,
    element_s=0.01,
    copy_s=0.001,
    edges=EdgeRates(Line(0.5, 0.25), Line(2.0, 1.0), 0.125),
    all_to_all={2: Link(3.0, 100.0), 4: Link(7.0, 50.0)},
    neighbours=Link(5.0, 200.0),
    overlap=0.0,
)
WHOLE = settings_of(mode="fullgraph", model="gcn", layers=2, hidden=8, overlap=True)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("plan") / "shards")


def job_of(shards, settings, num_ranks=1):
    return make_job(shards, read_manifest(shards), settings, num_ranks, num_ranks)


@pytest.mark.parametrize(
    ("model", "d_in", "d_out", "first", "kept", "flops", "gathers", "attends"),
    [
        # 2 d_in d_out a product and row; forward, the weights' gradient, the input's: not the first
        ("gcn", 4, 6, False, False, 3 * 48 * 5, [4, 4], []),  # (A x) W on 5 targets
        ("gcn", 6, 2, False, False, 3 * 24 * 10, [2, 2], []),  # A (x W) on 10 sources
        ("gcn", 6, 4, True, True, 2 * 48 * 5, [], []),  # A x was kept
        ("sage", 4, 6, True, False, 2 * 48 * (5 + 5), [4], []),
        ("sage", 6, 2, False, False, 3 * 24 * (10 + 5), [2, 2], []),
        ("gin", 4, 6, False, False, 3 * 48 * 5 + 3 * 72 * 5, [4, 4], []),
        ("gat", 4, 6, True, False, 2 * 48 * 10 + 3 * 24 * 15, [], [(6, 2)]),
    ],
)
def test_work_of_a_layer(model, d_in, d_out, first, kept, flops, gathers, attends):
    work = layer_work(model, d_in, d_out, 10, 5, first=first, kept=kept, heads=2)
    assert (work.flops, work.gathers, work.attends) == (flops, gathers, attends)
    assert work.elements == 5 * d_out


@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_work_of_a_decoupled_model(model):
    """An MLP, then a product a layer and as many back, of which two are sent; GAT: two scores."""
    spec = ModelSpec(model=f"decoupled-{model}", layers=2, hidden=8)
    *mlp, rounds = decoupled_work(make_model(spec, 12, 4))
    assert [each.flops for each in mlp] == [2 * 2 * 12 * 8, 3 * 2 * 8 * 4]
    sent = decoupled_messages(rounds)
    if model == "gcn":
        assert (rounds.gathers, sent.gathers) == ([4] * 4, [4] * 2)
    else:
        assert (rounds.attends, sent.attends) == ([(4, 1)] * 2, [(4, 1)])
        assert rounds.flops == 3 * 2 * 4 * 2


def test_seconds_of_fullgraph_by_hand(shards):
    """D = 12, hidden 8, 4 classes; GCN of 2 layers, the first one's aggregate kept."""
    job = job_of(shards, WHOLE, 2)
    got, shares = predict(job, SIMPLE), job.shares
    by_rank = []
    for n, e, h in zip(shares.vertices, shares.edges, shares.halo, strict=True):
        seconds = {
            SAMPLING: 0.0,
            AGGREGATION: 2 * e * (0.5 + 0.25 * 4),
            PRODUCTS: n * (2 * 2 * 12 * 8 + 3 * 2 * 8 * 4) / 1000.0,
            ROWS: n * (8 + 4) * 0.01,
            PACKING: 2 * 4 * h * 0.001,
            MESSAGES: 2 * 5.0 + 2 * 4 * 4 * h / 200.0,
        }
        by_rank.append(seconds)
    slowest = max(by_rank, key=lambda seconds: sum(seconds.values()))
    gradient = message_bytes(job.model.parameters.grad)
    slowest[MESSAGES] += 3.0 + 2 * gradient / 100.0
    assert got.seconds == pytest.approx(slowest)
    assert got.hidden_s == 0
    assert got.bytes == pytest.approx(shares.halo.sum() * 2 * 4 * 4 + 2 * gradient)
    assert (got.calls, got.steps) == (3, 1)


def test_messages_pass_behind_the_edges_of_own_vertices_as_far_as_was_measured(shards):
    job = job_of(shards, WHOLE, 2)
    quick = replace(SIMPLE, overlap=0.75, neighbours=Link(1e-3, 1e9))
    got = predict(job, quick)
    alone = predict(job, replace(quick, overlap=0.0))
    assert got.hidden_s == pytest.approx(0.75 * 2e-3, rel=0.01)
    assert got.epoch_s == pytest.approx(alone.epoch_s - got.hidden_s)


def test_bytes_of_tensor_are_those_of_the_formula(shards):
    """4 L (1 - 1/P) N d numbers where P divides N and all d; without the kept aggregate."""
    settings = changed(WHOLE, mode="tensor", hidden=12, layers=3, aggregate_cache="off", chunks=5)
    job = job_of(shards, settings, 4)
    got = predict(job, SIMPLE)
    gradient = 4 * message_bytes(job.model.parameters.grad)
    widths = [12, 12, 4]  # A (x W) takes the narrower
    assert got.bytes - gradient == 4 * 4 * 400 * sum(widths) * 3 // 4
    assert got.calls == 2 * 5 * 6 + 1
    num_edges = job.manifest.num_edges
    assert got.seconds[AGGREGATION] == pytest.approx(
        num_edges * sum(2 * (0.5 + 0.25 * d / 4) for d in widths)
    )
    assert any("under 8" in note for note in got.notes)


def test_frontiers_by_hand():
    """Of 100 vertices with 4 edges each: 10 seeds draw 2, then all of 4."""
    frontiers, edges = frontiers_of(10, [2, -1], 100, 400, 1, 0.0)
    first = 10 + 100 * (1 - np.exp(-20 / 100)) * 0.9
    assert edges == pytest.approx([20, 4 * first])
    second = first + 100 * (1 - np.exp(-4 * first / 100)) * (1 - first / 100)
    assert [each.own for each in frontiers] == pytest.approx([10, first, second])
    assert all(each.remote == 0 for each in frontiers)


def test_frontiers_meet_remote_vertices_by_the_cut():
    """With a quarter of the edges cut, a quarter of the first draws is remote."""
    frontiers, _ = frontiers_of(10, [2], 100_000, 400_000, 4, 0.25)
    assert frontiers[1].remote == pytest.approx(5, rel=1e-3)
    assert frontiers[1].own == pytest.approx(25, rel=1e-3)
    assert distinct_of(5, 20, 2) == pytest.approx(5 + 5 * 15 / 20)


@pytest.mark.parametrize("steps", [1, 6, 23])
@pytest.mark.parametrize("setting", ["auto", 4])
def test_macrobatches_are_grouped_as_training_does(steps, setting):
    size = MacrobatchSize(setting, 8 * 1.25 * 100, overlap=False)
    size.record(1, 0, 100)
    if setting == "auto":
        size.value = 8
    expected = [len(group) for group in size.groups(0, steps)]
    assert group_sizes(steps, setting, 8) == expected


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, True),
        ({"aggregate_cache": "memory"}, True),
        ({"aggregate_cache": "store"}, False),
        ({"features": "mapped"}, False),
        ({"features": "mapped", "feature_dtype": "bfloat16"}, True),
    ],
)
def test_rows_of_the_own_node_are_not_sent(shards, options, shared):
    """With --topology node-shared, of two ranks; mapped rows and aggregates in files travel."""
    settings = settings_of(topology="node-shared", batch_size=20, **options)
    manifest = read_manifest(shards)
    alone, beside = (
        predict(make_job(shards, manifest, settings, 2, per_node), ASSUMED) for per_node in (1, 2)
    )
    gradients = alone.steps * make_job(shards, manifest, settings, 2, 1).gradient_bytes
    assert alone.bytes > gradients
    assert beside.bytes == pytest.approx(gradients if shared else alone.bytes)


@pytest.mark.parametrize("mode", OF_VERTICES)
@pytest.mark.parametrize("model", ["sage", "gat"])
def test_memory_is_that_of_the_mode_itself(shards, mode, model):
    settings = settings_of(mode=mode, model=model, hidden=16, memory="4G", threads=1)
    with open_session(shards, settings) as session:
        expected = plan_memory(session.extent()).parts
    assert predict(job_of(shards, settings), ASSUMED).memory.parts == expected


def test_whole_neighbourhoods_cost_what_sampling_does_not(shards):
    """Fanouts of -1 draw all edges; with kept aggregates one hop less."""
    settings = settings_of(mode="macrobatch", layers=2, hidden=8, fanouts=(2, 2), batch_size=50)
    few, every, kept = (
        predict(job_of(shards, each, 2), SIMPLE)
        for each in (
            settings,
            settings.replace(fanouts=(-1, -1)),
            settings.replace(aggregate_cache="memory"),
        )
    )
    assert kept.seconds[SAMPLING] < few.seconds[SAMPLING] < every.seconds[SAMPLING]
    assert few.bytes < every.bytes
    manifest = read_manifest(shards)
    assert few.steps == -(-manifest.num_seeds.sum() // 50)
    assert "first layer unsampled" in kept.exactness


def test_rates_are_kept_by_graph(tmp_path):
    path = tmp_path / "plan.json"
    assert read_rates(path, "a") is None
    write_rates(path, SIMPLE, "first", "a")
    other = replace(SIMPLE, edges=EdgeRates(Line(9.0, 8.0), Line(7.0, 6.0), 5.0))
    write_rates(path, other, "second", "b")
    assert read_rates(path, "a") == SIMPLE
    assert read_rates(path, "b") == other
    third = read_rates(path, "c")
    assert third.edges == other.edges
    assert "of another graph (second)" in third.where


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x", "format_version": 1}'])
def test_damaged_rates_are_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="Delete it"):
        read_rates(path, "a")
    write_rates(path, SIMPLE, "first", "a")
    assert read_rates(path, "a") == SIMPLE


def test_line_through_measurements():
    widths = [8, 32, 128]
    line = line_through(widths, [3 + 0.5 * d for d in widths])
    assert (line.edge, line.column) == pytest.approx((3, 0.5))
    assert line_through(widths, [d - 4 for d in widths]).edge == 0
    assert calibrated_groups(1) == []
    assert calibrated_groups(6) == [2, 4, 6]


def test_link_is_that_of_the_nearest_group():
    assert SIMPLE.link(2).latency_s == 3.0
    assert SIMPLE.link(3).latency_s == 7.0
    assert SIMPLE.link(64).latency_s == 7.0


def made_up(mode, seconds, memory=1, steps=1):
    return Prediction(
        mode=mode,
        exactness="exact",
        seconds=dict.fromkeys(TERMS, seconds / len(TERMS)),
        hidden_s=0.0,
        steps=steps,
        bytes=600,
        calls=6,
        memory=MemoryPlan({"rows": memory}),
        allowed=10,
        is_sampled=mode == "macrobatch",
    )


def test_auto_takes_the_quickest_that_fits():
    quick, slow, large = made_up("tensor", 2), made_up("macrobatch", 3), made_up("fullgraph", 1, 11)
    choice = Choice([quick, slow, large], {}, 0.5, ASSUMED, None)
    assert choice.best is quick
    assert "fullgraph needs 11 B" in choice.why
    assert "one optimiser step" in choice.why
    few = replace(choice, labelled=0.005)
    assert few.best is slow
    assert "0.50% of the vertices" in few.why
    with pytest.raises(ConfigError, match="no mode fits into 10 B"):
        _ = replace(choice, predictions=[large]).best


def test_modes_that_settings_rule_out_are_said(shards):
    manifest = read_manifest(shards)
    choice = compare_modes(shards, manifest, settings_of(model="gcnii", hidden=8), 2, 2, ASSUMED)
    assert [each.mode for each in choice.predictions if each.mode == "macrobatch"] == []
    assert "neighbourhoods sampling cannot follow" in choice.refused["macrobatch"]
    last = choice.predictions[-1]  # what is not exact comes last, and is never taken
    assert (last.mode, last.exactness[:11]) == ("pipeline", "approximate")
    many = compare_modes(shards, manifest, settings_of(hidden=8), 5, 5, ASSUMED)
    assert [each.mode for each in many.predictions] == ["tensor"]
    assert "4 shards cannot serve 5 ranks" in many.refused["fullgraph"]
    assert many.shares is None


def test_plan_beside_the_measurement():
    line = {
        "seconds": 4.0,
        "training_bytes": 500,
        "training_calls": 6,
        "phase_seconds": {"forward": 1.0, "backward": 2.0, "allreduce": 0.5},
        "peak_memory_bytes": [7, 9],
    }
    first = {**line, "seconds": 99.0}
    entry = plan_entry(made_up("fullgraph", 7.0), "why", [first, line])
    terms = {term["name"]: (term["predicted"], term["measured"]) for term in entry["terms"]}
    assert entry["why"] == "why"
    assert terms["epoch"] == (7.0, 4.0)
    assert terms["forward, backward, gradient"] == (6.0, 3.5)
    assert terms["sent by all ranks in an epoch"] == (600, 500)
    assert terms["collectives of a rank in an epoch"] == (6, 6)
    assert terms["peak memory of a rank"] == (1, 9)
    assert terms["matrix products"] == (1.0, None)


def test_command_prints_what_auto_takes(shards, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("BATCHGNN_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    options = {"hidden": 16, "memory": "4G"}
    plan(shards, ranks=2, json=True, options=options)
    said = json.loads(capsys.readouterr().out)
    assert said["best"] == said["modes"][0]["mode"]
    assert {each["mode"] for each in said["modes"]} == set(OF_VERTICES)
    for each in said["modes"]:
        total = sum(each["terms"].values()) - each["hidden_seconds"]
        assert each["seconds"] == pytest.approx(total)
    checked = {each["mode"]: each["check_seconds"] for each in said["modes"]}
    assert 0 < checked["macrobatch"] < checked["tensor"], "there every rank maps all shards"
    plan(shards, ranks=2, options=options | {"memory": "100M"})
    text = " ".join(capsys.readouterr().out.split())
    assert "before: each byte checked" in text
    assert "No mode fits. Rates assumed" in text
    assert "warning: fullgraph needs" in text
    with pytest.raises(ConfigError, match="launch -n 3 -- plan"):
        plan(shards, ranks=3, calibrate=True, options=options)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_plan_is_cut_at_no_width(shards, width):
    """Every number of every mode is there, on lines that fit, with no ellipsis."""
    manifest, settings = read_manifest(shards), settings_of(mode="auto", model="gcn")
    choice = compare_modes(shards, manifest, settings, 4, 4, SIMPLE)
    assert len(choice.predictions) > 3
    printed = io.StringIO()
    Console(file=printed, width=width).print(plan_table(manifest, choice, 4, 4))
    said = printed.getvalue()
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width
    for each in choice.predictions:
        for number in (f"{each.steps:,}", f"{each.calls:,.0f}", unbroken(f"{each.epoch_s:.3g} s")):
            assert re.search(rf"(?<!\S){re.escape(number)}(?!\S)", said), (each.name, number)
        assert set(re.split(r"[ -]", each.name)) <= set(re.split(r"[\s│┃-]", said))
