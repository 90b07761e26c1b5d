"""The model of events: gradients by central differences, and the slow oracle event by event."""

import numpy as np
import pytest
from event_streams import random_events, shards_of
from temporal_models import RECENT, Walk, assert_gradients
from temporal_oracle import Oracle

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.batches import Sampler
from batchgnn.modes.temporal.static import pretrained, static_rows
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.task import Roots

NOBODY = np.empty(0, np.int64)


@pytest.mark.parametrize(("loss", "num_features", "layers"), [("bce", 2, 1), ("softmax", 0, 2)])
def test_gradients_are_central_differences_of_every_parameter(loss, num_features, layers, tmp_path):
    walk = Walk(tmp_path, random_events(num_features=num_features), loss=loss, layers=layers)
    rng = np.random.default_rng(1)
    for first in (0, 10, 20):
        _, now, _, placed = walk.forward(first, first + 10, np.empty((0, 10), np.int64))
        walk.tell(first, first + 10, now, placed)
    negatives = rng.integers(0, 12, (2, 5))
    placed = walk.place(30, 35, negatives)
    roots, parameters = Roots(NOBODY, NOBODY, 5), walk.model.parameters

    def total():
        rows, *_ = walk.forward(30, 35, negatives, placed)
        return walk.task.loss(rows, roots, 0.2).sum / 5

    rows, _, saved, _ = walk.forward(30, 35, negatives, placed)
    walk.model.backward(walk.task.loss(rows, roots, 0.2).gradient, saved)
    # keys' bias cancels in a softmax over scores of one sign, which here all roots of layer 2 have
    zero = ["decoder.c", "layer2.attention.b_key"] if loss == "softmax" else []
    assert_gradients(parameters, total, zero)


@pytest.mark.parametrize(
    ("bipartite", "with_static", "layers"), [(False, True, 2), (True, False, 1)]
)
def test_the_model_is_the_oracle_over_twenty_batches(bipartite, with_static, layers, tmp_path):
    """Logits and memories, with ties, repeats, events of one vertex, features, static rows."""
    columns = random_events(num_features=2, bipartite=bipartite)
    walk = Walk(tmp_path, columns, layers=layers)
    stream, rng = walk.stream, np.random.default_rng(2)
    events = stream.source, stream.target, stream.time, stream.features
    oracle = Oracle(walk.model.parameters, 2, RECENT, *events, layers)
    if with_static:
        static = rng.normal(size=(12, 4))
        walk.sampler, oracle.static = (
            Sampler(stream, RECENT, static, layers),
            dict(enumerate(static)),
        )
    for first in range(0, 80, 4):
        negatives = rng.integers(0, 12, (2, 4))
        rows, now, _, placed = walk.forward(first, first + 4, negatives)
        found, _ = walk.task.logits(rows, 4)
        expected = oracle.logits(first, first + 4, negatives)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
        walk.tell(first, first + 4, now, placed)
        oracle.tell(first, first + 4)
        for v, memory in oracle.memory.items():
            expected = np.concatenate([memory, oracle.other[v]])
            np.testing.assert_allclose(walk.states.rows.rows[v], expected, rtol=1e-12, atol=1e-13)
            assert walk.states.mail[v] == oracle.mail[v]
    assert len(oracle.before) > 6


def test_later_events_do_not_change_a_logit(tmp_path):
    """Nor does the order of events of one time, of which none sees another."""
    columns = random_events(num_features=2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    walk = Walk(tmp_path / "a", columns)
    order = np.arange(80)
    order[45:] = np.random.default_rng(0).permutation(order[45:])
    times = columns["event/time"]
    other = {name: column[order] for name, column in columns.items()} | {"event/time": times}
    changed = Walk(tmp_path / "b", other)
    negatives = np.random.default_rng(2).integers(0, 12, (2, 5))
    for first in range(0, 40, 5):
        found = []
        for each in (walk, changed):
            rows, now, _, placed = each.forward(first, first + 5, negatives)
            each.tell(first, first + 5, now, placed)
            found.append(each.task.logits(rows, 5)[0])
        np.testing.assert_array_equal(*found)


def test_static_rows_tell_pairs_that_met_from_others_for_any_cut(tmp_path):
    """By training events alone; a vertex that has none there has zeros."""
    columns, found = random_events(num_events=400), []
    columns["event/source"] %= 5
    columns["event/target"] = 5 + (columns["event/source"] + columns["event/target"] % 2) % 5
    columns["event/target"][380:] = 11
    for num_shards in (1, 3):
        (tmp_path / str(num_shards)).mkdir()
        stream = read_stream(ShardStore(shards_of(tmp_path / str(num_shards), columns, num_shards)))
        rows = np.empty((12, 8))
        rows[stream.original] = pretrained(stream, 8, seed=3)
        found.append(rows)
    np.testing.assert_array_equal(*found)
    assert not rows[11].any()
    scores = rows[:5] @ rows[5:10].T
    met = np.eye(5, dtype=bool) | np.eye(5, k=1, dtype=bool)
    met[4, 0] = True
    assert scores[met].mean() > scores[~met].mean() + 0.5


def test_static_rows_of_a_file_are_by_row_of_the_graph_store(tmp_path):
    stream = read_stream(ShardStore(shards_of(tmp_path, random_events())))
    path, rows = tmp_path / "rows.npy", np.arange(24, dtype=np.float64).reshape(12, 2)
    np.save(path, rows)
    np.testing.assert_array_equal(static_rows(stream, str(path), 2, 0), rows[stream.original])
    assert static_rows(stream, "none", 2, 0) is None
    for static, width, needed in (
        (path, 3, r"needed finite floats \(12, 3\)"),
        ("x", 2, "no such"),
    ):
        with pytest.raises(ConfigError, match=needed):
            static_rows(stream, str(static), width, 0)
    path.write_bytes(b"rows")
    with pytest.raises(ConfigError, match="npy file of numbers"):
        static_rows(stream, str(path), 2, 0)
