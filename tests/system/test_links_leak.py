"""Nothing of held-out edges leaks: where pairs are joined by chance alone, nobody can tell them.

A random graph of even degrees, with random features. What a model says of an edge that carries
messages is far from chance, so a held-out edge that carried any would be seen.
"""

import numpy as np
import pytest
from graphs import GraphArrays

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.partition.partition import partition
from batchgnn.run.session import open_session

NUM_VERTICES, NUM_EDGES, MARGIN = 2000, 20_000, 0.02
MODES = {
    "fullgraph": {"mode": "fullgraph"},
    "macrobatch": {"mode": "macrobatch", "fanouts": (-1, -1), "batch_size": 7000},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Whose pairs are split at random: edges are labels without a reason."""
    rng = np.random.default_rng(5)
    source, target = rng.integers(0, NUM_VERTICES, (2, NUM_EDGES))
    graph = GraphArrays(
        source=source,
        target=target,
        features=rng.normal(size=(NUM_VERTICES, 16)).astype(np.float32),
        label=np.zeros(NUM_VERTICES, np.int32),
        split=np.ones(NUM_VERTICES, np.uint8),
        num_classes=1,
    )
    path = tmp_path_factory.mktemp("leak") / "s"
    partition(graph, path, "random", 3, 1, links=(0.6, 0.2, 0.2))
    return path


@pytest.mark.parametrize("mode", MODES)
def test_held_out_edges_of_a_random_graph_are_told_by_chance(shards, mode):
    """ROC-AUC of .5, within 3 of its standard deviations for 4,000 edges."""
    given = {"task": "links", "model": "gcn", "layers": 2, "hidden": 32, "embedding": 16}
    more = {"lr": 0.01, "dropout": 0.0, "eval_negatives": 1, "threads": 1}
    with open_session(shards, settings_of(given | more | MODES[mode])) as share:
        trained = make_mode(share)
        for epoch in range(20):
            list(trained.epoch(epoch))
        found = share.evaluate(trained.inference(), "train", "val", "test")
    scores = {split: {each.name: each.value for each in found[split]} for split in found}
    assert scores["train"]["roc-auc"] > 0.5 + 5 * MARGIN
    for split in ("val", "test"):
        assert abs(scores[split]["roc-auc"] - 0.5) <= MARGIN, scores
