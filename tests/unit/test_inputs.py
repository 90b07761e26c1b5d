"""Vertices without features: gradients of trained rows, who moves, what is refused, two graphs."""

from dataclasses import replace

import numpy as np
import pytest
from checks import assert_gradient
from graphs import learnable_graph, shards_of
from mpi.together import with_model
from reference.optim import adam, sgd
from safetensors.numpy import load_file

from batchgnn.base.errors import BatchGNNError
from batchgnn.modes.assembly import changed, resolved, settings_of
from batchgnn.modes.open import make_mode
from batchgnn.nn.row_table import RowTable
from batchgnn.partition.source import GraphArrays
from batchgnn.run.export import export
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_files import read_result
from batchgnn.run.session import load_best, open_session
from batchgnn.run.train import train_share

BASE = {"mode": "fullgraph", "overlap": False, "threads": 1, "inputs": "embedding"}
SETTINGS = settings_of(BASE, model="gat", layers=2, hidden=6, heads=2, dropout=0.4, input_width=5)
MODELS = {"sage": {}, "gcn": {"norm": "batch"}, "gin": {}, "gat": {}, "gcnii": {}}
TENSOR = {"decoupled-gcn": {"mode": "tensor"}, "decoupled-gat": {"mode": "tensor"}}
KARATE = """1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31;2 3 7 13 17 19 21 30;3 7 8 9 13 27 28 32;
7 12 13;6 10;6 10 16;16;;30 32 33;33;;;;33;32 33;32 33;;;32 33;33;32 33;;32 33;25 27 29 32 33;
25 27 31;31;29 33;33;31 33;32 33;32 33;32 33;33"""
"Zachary 1977: the later neighbours of vertices 0, 1, ... of 34; 78 edges."
KARATE_BY = {"fullgraph": {}, "macrobatch": {"fanouts": (8, 8), "batch_size": 3, "macrobatch": 2}}
MR_HI = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21)


def bare(graph):
    return replace(graph, features=np.empty((len(graph.label), 0), np.float32))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    graph = bare(learnable_graph(num_vertices=61, directed=True))
    return shards_of(graph, tmp_path_factory.mktemp("bare") / "shards")


@pytest.mark.parametrize("model", MODELS | TENSOR)
def test_gradients_of_trained_rows_are_central_differences(shards, model):
    options = (MODELS | TENSOR)[model]
    rng = np.random.default_rng(0)
    with open_session(shards, changed(SETTINGS, model=model, **options)) as session:
        mode = make_mode(with_model(session, np.float64))
        mode.gradient(2)
        grad = session.table.gradient

        def loss():
            return mode.gradient(2) / mode.num_seeds

        assert_gradient(loss, session.table.rows, grad, rng, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_only_rows_that_a_step_met_move_and_with_them_their_moments(optimizer):
    """As torch.optim.SparseAdam: the bias is corrected for all steps so far, not a row's own."""
    table = RowTable(np.arange(40), 3, seed=0, optimizer=optimizer, lr=0.1, dtype=np.float64)
    expected, rng = table.rows.copy(), np.random.default_rng(0)
    first, second = np.zeros((2, 40, 3))
    for step in range(1, 6):
        met = np.flatnonzero(rng.random(40) < 0.5)
        table.gradient = np.zeros((40, 3))
        table.gradient[met] = grad = rng.normal(size=(len(met), 3))
        moved, m, v = expected[met], first[met], second[met]
        if optimizer == "adam":
            adam(moved, grad, m, v, (0.1, 0.9, 0.999, 1e-8, 0.0), step)
        else:
            sgd(moved, grad, m, 0.1, 0.9, 0.0)
        expected[met], first[met], second[met] = moved, m, v
        table.step(step)
        np.testing.assert_allclose(table.rows, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "pipeline"}, "given, but not built for --mode pipeline"),
        ({"input_dropout": 0.1}, "given, but not built for the rows of --inputs embedding"),
        ({"feature_dtype": "float16"}, "--inputs embedding trains them"),
        ({"aggregate_cache": "memory"}, "move in every step"),
        ({"mode": "macrobatch", "aggregate_cache": "memory"}, "move in every step"),
        ({"mode": "macrobatch", "feature_cache": "1M"}, "leave --feature-cache out"),
        ({"inputs": "degree", "aggregate_cache": "store"}, "take --aggregate-cache memory"),
        ({"inputs": "degree", "input_width": 4}, "add --inputs embedding"),
        ({"inputs": "constant", "features": "mapped"}, "--inputs constant does not read them"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(BatchGNNError, match=said):
        resolved(settings_of(BASE | options), "multiclass")


def karate():
    ends = [list(map(int, part.split())) for part in KARATE.replace("\n", "").split(";")]
    label = np.ones(34, np.int32)
    label[list(MR_HI)] = 0
    split = np.full(34, 3, np.uint8)
    split[[0, 1, 2, 30, 32, 33]] = 1
    return graph_of(np.array([(u, v) for u, row in enumerate(ends) for v in row]), label, split)


def communities(num_vertices=18_000, num_classes=6):
    """Eight in ten edges are within a class; a fifth of the labels are known."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, num_classes, num_vertices).astype(np.int32)
    source, target = rng.integers(0, num_vertices, (2, 8 * num_vertices))
    by_class = np.argsort(label, kind="stable")
    first = np.searchsorted(label[by_class], np.arange(num_classes + 1))
    c = label[source]
    mates = by_class[(first[c] + rng.random(len(c)) * (first[c + 1] - first[c])).astype(int)]
    target = np.where(rng.random(len(c)) < 0.8, mates, target)
    edges = np.stack([source, target], axis=1)[source != target]
    return graph_of(edges, label, rng.choice([1, 2, 3], num_vertices, p=[0.2, 0.1, 0.7]))


def graph_of(edges, label, split):
    return GraphArrays(
        source=edges[:, 0],
        target=edges[:, 1],
        weight=None,
        features=np.empty((len(label), 0), np.float32),
        label=label,
        split=split.astype(np.uint8),
        num_classes=int(label.max()) + 1,
        directed=False,
        names=None,
    )


def result_of(shards, run, **options):
    """Train into a new run folder; result.json."""
    settings = settings_of(BASE | {"layers": 2, "hidden": 16, "lr": 0.01} | options)
    with open_session(shards, settings) as share:
        RunFolder(run).open(resume=False)
        train_share(share, RunFolder(run), shards, resume=False)
    return read_result(run / "result.json")


@pytest.mark.parametrize("mode", KARATE_BY)
def test_karate_club_is_parted_without_features_and_its_rows_exported(tmp_path, mode):
    """34 vertices, six of which have a label to learn from; the last parameters count."""
    graph = karate()
    assert graph.num_edges == 78
    shards, run = shards_of(graph, tmp_path / "shards", 3), tmp_path / "run"
    options = {"mode": mode, "epochs": 60, "dropout": 0.0, "input_width": 8, **KARATE_BY[mode]}
    result = result_of(shards, run, model="gcn", **options)
    assert result["test_accuracy"] > 0.85
    export(run, tmp_path / "model.safetensors")
    rows = load_file(tmp_path / "model.safetensors")["inputs.weight"]
    with open_session(shards, RunFolder(run).settings()) as share:
        load_best(share, run)
        np.testing.assert_array_equal(rows[share.own.original_id], share.table.rows)
    other = shards_of(graph, tmp_path / "other", 2)
    refused = pytest.raises(BatchGNNError, match="of its own shards alone")
    with open_session(other, RunFolder(run).settings()) as share, refused:
        load_best(share, run, other)


@pytest.mark.slow
def test_labels_and_links_of_18000_vertices_are_learned_without_features(tmp_path):
    """Chance is 1/6, and an area of 1/2."""
    graph = communities()
    options = {"model": "gcn", "input_width": 16, "dropout": 0.0}
    labelled = shards_of(graph, tmp_path / "labelled")
    found = result_of(labelled, tmp_path / "labels", epochs=30, **options)
    assert found["test_accuracy"] > 0.5
    linked = shards_of(graph, tmp_path / "linked", links=(0.8, 0.1, 0.1))
    more = {"metric": "roc-auc", "embedding": 16, "eval_negatives": 5, "eval_every": 10}
    found = result_of(linked, tmp_path / "links", epochs=30, **options, **more)
    assert found["test_roc-auc"] > 0.6
