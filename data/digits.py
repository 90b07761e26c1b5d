"""A real graph without a download: neighbours among scikit-learn's bundled handwritten digits.

1,797 vertices are images of 8 x 8 pixels, their 64 features grey values in [0, 1], their 10 classes
the digits; an undirected edge joins an image to its k nearest (Euclidean).
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.data.split import random_split
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_writer import GraphSpec, write_graph

NUM_DIGITS, BRIGHTEST = 1797, 16.0


@dataclass(frozen=True, kw_only=True)
class DigitOptions:
    """Options of `digits`."""

    neighbors: int = 10
    "Nearest images that each image is joined to; being nearest need not be mutual."

    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    "Shares of train, validation and test."

    seed: int = 0
    "Seed of the split."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        if not 1 <= self.neighbors < NUM_DIGITS:
            raise ConfigError(f"--neighbors {self.neighbors}: needed 1 to {NUM_DIGITS - 1:,}")


def generate_digits(out: str | os.PathLike, options: DigitOptions | None = None) -> Path:
    """Write the graph of digits to the graph store `out`.

    Raises ConfigError when scikit-learn is missing, StoreError when `out` exists.
    """
    options = options or DigitOptions()
    options.check()
    refuse_existing(out)
    try:
        from sklearn.datasets import load_digits
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise ConfigError(
            "the digits come with scikit-learn, which is not installed: pip install "
            "'batchgnn[demo]'; or generate another graph: batchgnn data generate communities"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    nearest = NearestNeighbors(n_neighbors=options.neighbors, algorithm="brute").fit(pixels)
    target = nearest.kneighbors(return_distance=False).reshape(-1)
    source = np.repeat(np.arange(len(pixels)), options.neighbors)
    pairs = np.sort(np.stack([source, target]), axis=0)
    source, target = np.unique(pairs, axis=1)
    spec = GraphSpec(
        name="digits",
        licence="BSD-3-Clause (scikit-learn; data of E. Alpaydin and C. Kaynak, UCI, 1998)",
        num_vertices=len(pixels),
        directed=False,
        num_features=pixels.shape[1],
        num_classes=10,
    )
    with write_graph(out, spec) as writer:
        writer.append_features((pixels / BRIGHTEST).astype(np.float32))
        writer.append_labels(labels)
        writer.append_split(random_split(options.seed, len(pixels), options.split, 0, labels))
        writer.append_edges(source, target)
    return Path(out)
