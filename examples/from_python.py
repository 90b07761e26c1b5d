"""From arrays to a data frame of predictions: python examples/from_python.py FOLDER

A graph of three kinds of vertices, most of whose edges join vertices of one kind; their features
are noisy. It is written, cut into two shards, and trained on two ranks.
"""

import sys
from pathlib import Path

import numpy as np
import pandas

import batchgnn

VERTICES, KINDS = 900, np.array(["cat", "dog", "owl"])


def main(folder: Path) -> pandas.DataFrame:
    """Train in the folder, which must be empty; returns a row a vertex."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, len(KINDS), VERTICES)
    edges = rng.integers(0, VERTICES, (2, 12 * VERTICES))
    alike = kind[edges[0]] == kind[edges[1]]
    edges = edges[:, (edges[0] < edges[1]) & (alike | (rng.random(len(alike)) < 0.2))]
    features = np.eye(len(KINDS))[kind] + rng.normal(size=(VERTICES, len(KINDS)))

    said = batchgnn.write_graph(
        folder / "graph.h5",
        edges,
        features,
        labels=KINDS[kind],
        ids=[f"animal {v}" for v in range(VERTICES)],
        arcs="once",
    )
    print(said)
    shards = batchgnn.prepare(folder / "graph.h5", folder / "shards", num_shards=2)
    run = batchgnn.train(
        shards,
        folder / "run",
        ranks=2,
        layers=2,
        fanouts=[8, 8],
        hidden=32,
        batch_size=90,
        lr=0.01,
        epochs=8,
    )
    print(f"test accuracy {run.result['test_accuracy']:.3f}, {run.evaluate('val')}")
    frame = pandas.DataFrame(run.predictions())
    print(frame.head())
    return frame


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
