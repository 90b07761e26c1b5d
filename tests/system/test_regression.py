"""Numbers on a real graph: GraphSAGE beats a linear model of the features, on any number of ranks.

The target is computed from PubMed's edges: the logarithm of 1 + the degrees summed over all walks
of two steps, standardised. Features alone tell a quarter of it. After some 100 steps of Adam the
ranks' different orders of sums show in the losses; before, they agree to 1e-8.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import succeed
from graphs import shards_of
from jobs import losses
from scipy.sparse import csr_array
from shards import static_graph

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MARGIN = 0.25
OPTIONS = [
    *("--model", "sage", "--layers", 2, "--hidden", 64, "--fanouts", -1, -1, "--dropout", 0.5),
    *("--batch-size", 1000, "--lr", 0.01, "--weight-decay", 1e-4, "--epochs", 8),
]
"96 steps."


@pytest.fixture(scope="module")
def graph():
    """PubMed with a number for each vertex; three fifths are trained on."""
    pubmed = static_graph("pubmed")
    n, rng = pubmed.num_vertices, np.random.default_rng(0)
    source = np.concatenate([pubmed.source, pubmed.target])
    target = np.concatenate([pubmed.target, pubmed.source])
    A = csr_array((np.ones(len(source)), (target, source)), (n, n))
    number = np.log1p(A @ (A @ A.sum(axis=1)))
    number = ((number - number.mean()) / number.std()).astype(np.float32)
    split = rng.choice([1, 1, 1, 2, 3], n).astype(np.uint8)
    return replace(pubmed, label=number, split=split, num_classes=1)


def linear_r2(graph):
    """On the test split, of ridge regression with the best of four penalties there."""
    ones = np.ones((graph.num_vertices, 1))
    x = np.hstack([graph.features.astype(np.float64), ones])
    train, test = graph.split == 1, graph.split == 3
    y, spread = graph.label, np.square(graph.label[test] - graph.label[test].mean()).sum()
    gram, moments = x[train].T @ x[train], x[train].T @ y[train]
    weights = [np.linalg.solve(gram + c * np.eye(len(gram)), moments) for c in (0.01, 0.1, 1, 10)]
    return max(1 - np.square(x[test] @ w - y[test]).sum() / spread for w in weights)


def test_sage_beats_a_linear_model_on_one_and_four_ranks(graph, tmp_path):
    shards, ended = shards_of(graph, tmp_path / "shards", method="metis"), {}
    for ranks in (1, 4):
        out = tmp_path / f"run-{ranks}"
        line = ("train", shards, "--run", out, *OPTIONS)
        succeed(*line, ranks=ranks, timeout_s=500)
        ended[ranks] = json.loads((out / "result.json").read_text())
    linear = linear_r2(graph)
    found = {ranks: result["test_r2"] for ranks, result in ended.items()}
    print(
        f"\nPubMed, r2 of the test split: linear {linear:.4f}, SAGE on 1 and 4 ranks",
        *found.items(),
    )
    assert ended[1]["task"] == "regression"
    assert found[1] > linear + MARGIN
    np.testing.assert_allclose(losses(tmp_path / "run-4"), losses(tmp_path / "run-1"), rtol=1e-5)
