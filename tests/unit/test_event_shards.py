"""Shards of events: rows in the order of events, the stream in runs, damage that is named."""

import io

import h5py
import numpy as np
import pytest
from event_streams import random_events, shards_of, stored
from rich.console import Console
from shards import accept_shards, edited

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.graph.missing import largest_batch, missing_updates
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.partition.partition import opened, partition
from batchgnn.partition.tables import graph_tables, shard_tables
from batchgnn.store.event_stream import EventStream
from batchgnn.store.events import FEATURES, SOURCE, SPLIT, TARGET, TIME
from batchgnn.store.graph_verify import verify as verify_graph
from batchgnn.store.shard_store import ShardStore
from batchgnn.store.shard_verify import verify


@pytest.mark.parametrize("method", ["random", "metis"])
def test_shards_have_the_stream_and_each_vertex_its_events(method, tmp_path):
    columns = random_events(num_features=2)
    store = ShardStore(shards_of(tmp_path, columns, method=method))
    stream, shards = EventStream(store), [store.shard(s) for s in range(3)]
    original = np.concatenate([shard.original_id for shard in shards])
    np.testing.assert_array_equal(original[stream.source], columns[SOURCE])
    np.testing.assert_array_equal(original[stream.target], columns[TARGET])
    np.testing.assert_array_equal(stream.time, columns[TIME])
    np.testing.assert_array_equal(stream.features(), columns[FEATURES])
    for shard in shards:
        for row in range(shard.num_vertices):
            v, entries = shard.first_vertex + row, slice(*shard.in_indptr[row : row + 2])
            met = [
                (e, t if s == v else s)
                for e, (s, t) in enumerate(zip(stream.source, stream.target, strict=True))
                if v in (s, t)
            ]
            found = zip(shard.event_id[entries], shard.in_indices[entries], strict=True)
            assert list(found) == met
    verify(store.path)


DAMAGE = {
    "event/time": lambda rows: rows[::-1],
    "event/split": lambda rows: rows[::-1],
    "event/id": lambda rows: rows[::-1],
    "event/target": lambda rows: np.roll(rows, 1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_does_not_fit_is_named_by_verify(name, tmp_path, monkeypatch):
    folder = shards_of(tmp_path)
    with h5py.File(folder / "shard-00002.h5", "r+") as file:
        file[name][...] = DAMAGE[name](file[name][()])
    accept_shards(folder)
    monkeypatch.setattr("batchgnn.store.shard_verify.check_sums", lambda *_: None)
    with pytest.raises(StoreError, match=name if name != "event/target" else "other events"):
        verify(folder)


def test_what_batches_lose_is_counted_by_brute_force_and_rises():
    columns = random_events(num_events=200)
    source, target = columns[SOURCE], columns[TARGET]
    ends = [(v, e) for e, pair in enumerate(zip(source, target, strict=True)) for v in {*pair}]
    lost = []
    for size in (1, 2, 5, 20, 200):
        kept = len({(v, e // size) for v, e in ends})
        lost.append(missing_updates(source, target, 12, size))
        assert lost[-1] == pytest.approx(1 - kept / len(ends), abs=1e-12)
    assert lost == sorted(lost)
    for size, most in zip((1, 2, 5, 20), lost, strict=False):
        found = largest_batch(source, target, 12, most)
        assert found >= size
        assert missing_updates(source, target, 12, found) <= most
    assert lost[0] == 0


def printed(tables):
    out = io.StringIO()
    Console(file=out, width=160).print(tables)
    return out.getvalue()


def test_inspect_shows_the_stream(tmp_path):
    folder = shards_of(tmp_path)
    for text in (
        printed(graph_tables(opened(tmp_path / "g.h5"))),
        printed(shard_tables(ShardStore(folder))),
    ):
        assert "updates lost by batches of" in text
        assert "train 56" in text
        assert "label" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "macrobatch"}, "--task events: take --mode temporal"),
        ({"mode": "temporal", "model": "sage"}, "sage cannot be trained by --mode temporal"),
        ({"mode": "temporal", "state_heads": 3}, "--state-width 100 is not a multiple"),
    ],
)
def test_what_does_not_learn_from_events_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        resolved(settings_of(options), "events")


def test_events_and_vertices_are_told_apart():
    with pytest.raises(ConfigError, match="which no task learns from"):
        resolved(settings_of(), "weather")
    with pytest.raises(ConfigError, match="--task multiclass: take --mode macrobatch or"):
        resolved(settings_of(mode="temporal"), "multiclass")
    assert resolved(settings_of(mode="temporal"), "events").options()["batch_size"] == 600
    chosen = resolved(settings_of(mode="temporal", ways=("auto",)), "events")
    assert chosen.options()["batch_size"] is None


def test_a_graph_without_time_has_no_stream(tmp_path):
    from graphs import learnable_graph
    from graphs import shards_of as shards_of_graph

    store = ShardStore(shards_of_graph(learnable_graph(), tmp_path / "s"))
    with pytest.raises(StoreError, match="edges without time"):
        EventStream(store)


BAD_VALUES = {SOURCE: 12, TARGET: 2**31, TIME: -1, SPLIT: 0, FEATURES: np.nan}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_of_a_graph_store_is_named_where_it_is_read(name, tmp_path):
    path = stored(tmp_path / "g.h5", random_events(num_features=2))
    with edited(path) as file:
        file[name][5] = BAD_VALUES[name]
    for read in (
        lambda: verify_graph(path),
        lambda: partition(path, tmp_path / "s", "random", 2, 0),
    ):
        with pytest.raises(StoreError, match=f"{name} has a value out of range in row 5"):
            read()
