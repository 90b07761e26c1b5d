"""Scores of events: ties by both rules, precision by brute force; negatives that are fixed."""

import numpy as np
import pytest
from event_streams import random_events, shards_of

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.batches import (
    TRAINING,
    negative_key,
    scoring_negatives,
    training_negatives,
)
from batchgnn.modes.temporal.published import PublishedNegatives
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.events import Events, ranks_along
from batchgnn.tasks.pair_losses import PAIR_LOSSES
from batchgnn.tasks.ranking import area, average_precision, reciprocal_ranks


def scores_of(logits, is_new=None, batch_size=2, metric="mrr"):
    is_new = np.zeros(logits.shape[1], bool) if is_new is None else is_new
    task = Events(metric, "bce", 4)
    return {each.name: each.value for each in task.score(logits, is_new, batch_size)}


def test_constant_scores_rank_in_the_middle_or_last():
    mean, worst = reciprocal_ranks(np.zeros((50, 3)))
    np.testing.assert_allclose(mean, 1 / 25.5)
    np.testing.assert_allclose(worst, 1 / 50)
    scores = scores_of(np.zeros((50, 3)), metric="ap")
    assert next(iter(scores)) == "ap"
    assert scores == pytest.approx(
        {"ap": 0.5, "mrr": 1 / 25.5, "roc-auc": 0.5, "mrr-worst": 1 / 50, "batch-ap": 0.5}
    )


def test_ranks_by_hand():
    logits = np.array([[2.0, 1, 0], [1, 1, 3], [3, 0, 2]])
    mean, worst = reciprocal_ranks(logits)
    np.testing.assert_allclose(mean, [1 / 2, 1 / 1.5, 1 / 3])
    np.testing.assert_allclose(worst, [1 / 2, 1 / 2, 1 / 3])


def test_precision_and_area_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    values, positive = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.4
    wins = np.subtract.outer(values[positive], values[~positive])
    assert area(values, positive) == pytest.approx(((wins > 0) + (wins == 0) / 2).mean())
    precision, recall, last = 0.0, 0.0, 0.0
    for cut in sorted({*values}, reverse=True):
        chosen = values >= cut
        recall = (chosen & positive).sum() / positive.sum()
        precision += (recall - last) * (chosen & positive).sum() / chosen.sum()
        last = recall
    assert average_precision(values, positive) == pytest.approx(precision)
    assert np.isnan(average_precision(values, np.zeros(60, bool)))
    assert np.isnan(area(values, np.ones(60, bool)))


def test_no_events_have_no_scores():
    assert all(np.isnan(value) for value in scores_of(np.zeros((3, 0))).values())


def test_new_vertices_have_scores_of_their_own_and_batches_a_mean():
    """Only the last two events are of new vertices; all of the first batch are ranked right."""
    logits = np.array([[3.0, 4, 0, 1], [2, 2, 1, 0], [1, 1, 2, 2]])
    scores = scores_of(logits, np.array([False, False, True, True]))
    assert scores["new-mrr"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert scores["mrr"] == pytest.approx((1 + 1 + 1 / 3 + 1 / 2) / 4)
    assert scores["new-roc-auc"] == pytest.approx(0.5)  # 0 ties one, 1 ties one and beats one
    assert scores["batch-ap"] == pytest.approx((1 + scores["new-ap"]) / 2)


def test_events_are_new_where_training_met_an_end_never(tmp_path):
    columns = random_events(num_vertices=12, num_events=80)
    columns["event/target"][75:] = 11
    columns["event/target"][:75] %= 11
    columns["event/source"] %= 11
    stream = read_stream(ShardStore(shards_of(tmp_path, columns)))
    new = {name: stream.is_new(name) for name in ("train", "val", "test")}
    assert not new["train"].any()
    trained = {*stream.source[: len(new["train"])], *stream.target[: len(new["train"])]}
    for name, found in new.items():
        part = stream.split(name)
        ends = zip(stream.source[part], stream.target[part], strict=True)
        assert found.tolist() == [not {u, v} <= trained for u, v in ends]
    assert new["test"][-5:].all()


@pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES)
def test_losses_have_the_slope_of_their_differences(loss):
    logits = np.random.default_rng(0).normal(size=(4, 3))
    total, slope = loss(logits)
    step = 1e-6 * np.random.default_rng(1).normal(size=logits.shape)
    found = loss(logits + step)[0] - loss(logits - step)[0]
    assert np.vdot(slope, step) * 2 == pytest.approx(found, rel=1e-7)
    assert total > 0


def test_negatives_are_targets_the_same_for_any_cut_and_not_the_target(tmp_path):
    """Of the vertices by their rows in the graph store."""
    drawn = []
    for num_shards in (1, 3):
        (tmp_path / str(num_shards)).mkdir()
        columns = random_events(bipartite=True)
        store = ShardStore(shards_of(tmp_path / str(num_shards), columns, num_shards))
        stream, events = read_stream(store), np.arange(10, 70)
        shards = [store.shard(s) for s in range(num_shards)]
        original = np.concatenate([shard.original_id for shard in shards])
        scoring = scoring_negatives(stream, events, 40)
        assert not (scoring == stream.target[events]).any()
        key = negative_key(0, 0, TRAINING)
        training = training_negatives(stream, events, 2, key)
        assert set(original[scoring].ravel()) == set(columns["event/target"])
        again = training_negatives(stream, events[5:9], 2, key)
        np.testing.assert_array_equal(again, training[:, 5:9])
        other = training_negatives(stream, events, 2, negative_key(0, 1, TRAINING))
        assert (other != training).any()
        drawn.append([original[scoring], original[training]])
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    np.testing.assert_array_equal(drawn[0][1], drawn[1][1])


def test_published_negatives_are_the_users_ids_for_any_cut(tmp_path):
    """A row for each event behind training's, validation's first."""
    columns = random_events()
    ids = np.random.default_rng(4).integers(0, 12, (24, 5))
    np.save(tmp_path / "n.npy", ids)
    for num_shards in (1, 3):
        (tmp_path / str(num_shards)).mkdir()
        stream = read_stream(ShardStore(shards_of(tmp_path / str(num_shards), columns, num_shards)))
        assert stream.ends["test"] - stream.ends["train"] == len(ids)
        found = PublishedNegatives(str(tmp_path / "n.npy"), stream)
        events = np.arange(60, 70)
        rows = ids[events - stream.ends["train"]]
        np.testing.assert_array_equal(stream.original[found.of(events)], rows.T)
    for wrong, said in (
        (ids[1:], "23 rows, and 24 events"),
        (ids + 7, "no vertex"),
        (ids[0], "ids"),
    ):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(ConfigError, match=said):
            PublishedNegatives(str(tmp_path / "wrong.npy"), stream)
    with pytest.raises(ConfigError, match="no such file"):
        PublishedNegatives(str(tmp_path / "none.npy"), stream)


def test_ranks_along_the_stream_are_means_of_its_parts():
    logits = np.zeros((3, 50))
    logits[0, 25:] = 1
    found = ranks_along(logits)
    assert len(found) == 20
    assert found[0] == pytest.approx(0.5)
    assert found[-1] == 1
    assert ranks_along(logits[:, :3]) == pytest.approx([0.5] * 3)
