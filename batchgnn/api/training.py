"""Shards, and training on ranks that are started for it, from Python."""

import os
from pathlib import Path
from typing import Any

from batchgnn.api.command import Word, command, words_of
from batchgnn.api.run import Run
from batchgnn.partition.cut import Cut
from batchgnn.partition.partition import cut_into


def prepare(
    graph: str | os.PathLike, shards: str | os.PathLike, num_shards: int, **options: Any
) -> Path:
    """Cut a graph store into shards; returns the folder.

    options: `method`, `seed`, `order`, `clusters`, `even_seeds`, as `batchgnn partition` has them;
    `memory` (bytes) and `feature_dtype`

    Raises StoreError where `shards` exists, and what `batchgnn partition` refuses.

    >>> import numpy as np, batchgnn
    >>> ring = np.array([np.arange(60), (np.arange(60) + 1) % 60])
    >>> kinds = np.repeat(["cat", "dog", "owl"], 20)
    >>> said = batchgnn.write_graph("g.h5", ring, np.eye(3).repeat(20, 0), kinds, arcs="once")
    >>> prepare("g.h5", "shards", num_shards=2)
    PosixPath('shards')
    """
    how = {name: options.pop(name) for name in ("memory", "feature_dtype") if name in options}
    cut_into(Path(graph), Path(shards), Cut(num_shards=num_shards, **options), **how)
    return Path(shards)


def train(
    shards: str | os.PathLike,
    run: str | os.PathLike,
    *,
    ranks: int = 1,
    show: bool = True,
    **options: Any,
) -> Run:
    """Train on ranks of this machine, started for it; returns the run.

    ranks    MPI processes, at most one a shard
    show     whether what they print is printed
    options  of `batchgnn train`, with _ for -: `model="gcn"`, `fanouts=[10, 10]`, `resume=True`

    Raises BatchGNNError with what the job said when it fails; an interrupt ends the job, saved.

    >>> how = {"layers": 2, "fanouts": [2, 2], "batch_size": 8, "lr": 0.05, "epochs": 4}
    >>> train("shards", "run", show=False, **how)
    Run('run')
    """
    words: list[Word] = ["train", shards, "--run", run, *words_of(options)]
    command(words, ranks=ranks, show=show)
    return Run(run)
