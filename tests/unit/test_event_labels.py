"""Labels of events and of vertices: gradients of both heads, scores by hand, what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from event_streams import random_events, shards_of
from mpi4py import MPI
from sklearn.metrics import f1_score, roc_auc_score
from temporal_models import WIDTH, assert_gradients, slope_at

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.nn.parameters import Parameters
from batchgnn.store.events import LABEL
from batchgnn.store.shard_store import ShardStore
from batchgnn.store.shard_verify import verify
from batchgnn.tasks.event_labels import EventLabels, VertexLabels
from batchgnn.tasks.task import Roots

CLASSES = 3


def labelled(**more):
    return random_events(num_classes=CLASSES, **more)


@pytest.mark.parametrize("kind", [EventLabels, VertexLabels])
def test_gradients_are_central_differences_by_parameters_and_rows(kind):
    """One of the events has no label."""
    task = kind("roc-auc", WIDTH)
    task.width(SimpleNamespace(num_classes=CLASSES))
    parameters = Parameters(task.head(), 3, np.float64)
    task.attach(parameters)
    rows = np.random.default_rng(0).normal(size=(10, WIDTH))
    roots = Roots(np.arange(5), np.array([0, 2, -1, 1, 2], np.int32), 5)

    def total():
        return task.loss(rows, roots, 0.2).sum / 5

    found = task.loss(rows, roots, 0.2).gradient.ravel()
    assert_gradients(parameters, total)
    flat = rows.reshape(-1)
    slopes = [slope_at(flat, i, before, total) for i, before in enumerate(flat.copy())]
    np.testing.assert_allclose(found, slopes, rtol=2e-9, atol=1e-9)


class Scored:
    """An inference whose logits are known."""

    batch_size = 5

    def __init__(self, logits):
        self.logits = logits

    def is_new(self, split):
        return np.zeros(self.logits[split].shape[1], bool)

    def of_splits(self, *splits):
        return {name: self.logits[name] for name in splits}


def found_by(task, columns, folder, splits):
    """(scores by split, logits, labels) of random logits, rounded, so that some tie."""
    store = ShardStore(shards_of(folder, columns))
    task.width(store.manifest)
    rng, part = np.random.default_rng(3), np.repeat([1, 2, 3], [56, 12, 12])
    logits = {name: rng.normal(size=(CLASSES, 12)).round(1).astype(np.float32) for name in splits}
    own = SimpleNamespace(whole=store, manifest=store.manifest)
    scores = task.scores(MPI.COMM_SELF, own, Scored(logits), dict.fromkeys(splits))
    named = {name: {each.name: each.value for each in found} for name, found in scores.items()}
    labels = {name: columns[LABEL][part == 2 + k] for k, name in enumerate(splits)}
    return named, logits, labels


@pytest.mark.parametrize("kind", [EventLabels, VertexLabels])
@pytest.mark.usefixtures("comm")  # which starts MPI
def test_scores_are_those_of_brute_force(kind, tmp_path):
    """Events without a label count nowhere; the chosen score comes first."""
    columns = labelled()
    columns["event/time"] = np.arange(80)
    task = kind("macro-f1", WIDTH)
    found, logits, labels = found_by(task, columns, tmp_path, ("val", "test"))
    for name, scores in found.items():
        known = labels[name] >= 0
        assert known.sum() < 12
        label, rows = labels[name][known], logits[name].T[known]
        assert next(iter(scores)) == "macro-f1"
        assert scores["micro-f1"] == pytest.approx((rows.argmax(axis=1) == label).mean())
        expected = f1_score(label, rows.argmax(axis=1), average="macro")
        assert scores["macro-f1"] == pytest.approx(expected)
        areas = [roc_auc_score(label == c, rows[:, c]) for c in range(CLASSES)]
        assert scores["roc-auc"] == pytest.approx(np.mean(areas))
    chances = task.probability(logits["val"])
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(chances.argmax(axis=1), logits["val"].argmax(axis=0))


def test_classes_are_counted_when_a_stream_is_written(tmp_path):
    """And a label that is none of them is found."""
    store = ShardStore(shards_of(tmp_path, labelled()))
    assert store.manifest.num_classes == CLASSES
    verify(store.path)
    (tmp_path / "plain").mkdir()
    plain = ShardStore(shards_of(tmp_path / "plain"))
    with pytest.raises(StoreError, match=r"labels of 0 classes.*--label COLUMN"):
        EventLabels("micro-f1", 4).width(plain.manifest)


def test_a_stream_whose_training_events_have_no_label_has_no_seeds(tmp_path):
    columns = labelled()
    columns[LABEL][:60] = -1
    store = ShardStore(shards_of(tmp_path, columns))
    own = SimpleNamespace(whole=store, manifest=store.manifest, shards=range(3))
    assert EventLabels("micro-f1", 4).seeds(own, 0).total == 0
    columns[LABEL][3] = 1
    (tmp_path / "b").mkdir()
    own.whole = ShardStore(shards_of(tmp_path / "b", columns))
    assert EventLabels("micro-f1", 4).seeds(own, 0).total == 56


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "vertex-labels"}, "give --trained RUN, a run of --task events"),
        ({"task": "event-labels", "metric": "mrr"}, "take micro-f1, macro-f1 or roc-auc"),
    ],
)
def test_what_labels_lack_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        resolved(settings_of(mode="temporal", **options), "events")


@pytest.mark.parametrize(
    "options", [{"negatives": 2, "task": "event-labels"}, {"trained": "r", "task": "events"}]
)
def test_options_of_another_task_are_refused(options):
    with pytest.raises(ConfigError, match="is an option of --task"):
        settings_of(mode="temporal", **options)
