"""What is known of vertices at any time: a constant row each, added to the state that is read.

DistTGL's static node memory (arXiv:2307.07649, section 3.1): learned before training, of the
training events alone, then frozen. Deviation: there by a graph network without time, here by inner
products of pairs that met (`kernels.embed`), the same on all ranks.
"""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.kernels.embed import embed_pairs
from batchgnn.kernels.rng import fill_draws
from batchgnn.modes.temporal.batches import STATIC, negative_key, training_negatives
from batchgnn.modes.temporal.stream import Stream

NONE, PRETRAIN = "none", "pretrain"
PASSES, RATE = 10, 0.05


def static_rows(stream: Stream, static: str, width: int, seed: int) -> np.ndarray | None:
    """float32 (N, width) by vertex, or None.

    static: none, pretrain, or a .npy file with a row for each vertex of the graph store. Raises
    ConfigError where it does not fit.
    """
    if static == NONE:
        return None
    return pretrained(stream, width, seed) if static == PRETRAIN else _read(stream, static, width)


def pretrained(stream: Stream, width: int, seed: int) -> np.ndarray:
    """Rows by the pairs of training events; 0 of vertices that have none."""
    events = np.arange(len(stream.split("train")))
    source, target = stream.source[events], stream.target[events]
    rows = _noise(stream, width, negative_key(seed, PASSES, STATIC))
    for epoch in range(PASSES):
        other = training_negatives(stream, events, 1, negative_key(seed, epoch, STATIC))[0]
        embed_pairs(source, target, other, RATE, rows)
    known = np.zeros(stream.num_vertices, bool)
    known[source] = known[target] = True
    rows[~known] = 0
    return rows


def _noise(stream: Stream, width: int, key: np.uint64) -> np.ndarray:
    """float32 (N, width), uniform within +- width^-1/2, by key and row of the graph store."""
    rows = np.empty((stream.num_vertices, width), np.float32)
    bits, first = np.empty(len(rows), np.uint64), stream.original.astype(np.uint64)
    for j in range(width):
        fill_draws(key, first * np.uint64(width) + np.uint64(j), bits)
        rows[:, j] = ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1) * width**-0.5
    return rows


def _read(stream: Stream, static: str, width: int) -> np.ndarray:
    path = Path(static)
    if not path.is_file():
        raise ConfigError(f"--static {static}: no such file: give none, pretrain or a .npy file.")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} is no .npy file of numbers ({error}): save one.") from error
    needed = (stream.num_vertices, width)
    if found.shape != needed or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise ConfigError(
            f"{path}: found {found.dtype} {found.shape}, needed finite floats {needed}: a row for "
            "each vertex of the graph store, as wide as --state-width."
        )
    return found[stream.original].astype(np.float32)
