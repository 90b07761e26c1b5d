"""The best trained rows of a run, which checkpoints keep by vertex, and the weights beside them."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.nn.row_table import BEST
from batchgnn.run.folder import RunFolder
from batchgnn.store.checkpoint import newest_checkpoint, read_index
from batchgnn.store.mode_state import read_state
from batchgnn.store.shard_store import ShardStore

WEIGHTS = "best_parameters"


class BestRows(NamedTuple):
    """Of one checkpoint, whose file it names: flat weights, and a row for each vertex asked for."""

    path: Path
    weights: np.ndarray
    rows: np.ndarray


def read_best_rows(run: Path, fingerprint: str, ids: np.ndarray) -> BestRows:
    """Of the vertices `ids` of the shards with this fingerprint; no message.

    Raises StoreError where the run was on others, or has no checkpoint that can be read.
    """
    path = newest_checkpoint(RunFolder(run).checkpoints)
    index = read_index(path)
    if index.fingerprint != fingerprint:
        raise StoreError(
            f"{run} has trained rows (--inputs embedding) of the vertices of its own shards alone: "
            "leave --shards out, or name the store that it was trained on."
        )
    wanted = {WEIGHTS, BEST}
    files = [
        replace(file, arrays={n: each for n, each in file.arrays.items() if n in wanted})
        for file in index.files
    ]
    state = read_state(path, files, ids, 0)
    return BestRows(path, state.replicated[WEIGHTS], state.by_vertex[BEST])


def in_graph_order(shards: Path, rows: np.ndarray) -> np.ndarray:
    """(N, d), from rows by vertex number of the shards to rows of the graph store."""
    store, out = ShardStore(shards), np.empty_like(rows)
    for s in range(store.manifest.num_shards):
        shard = store.shard(s)
        first = shard.first_vertex
        out[shard.original_id] = rows[first : first + shard.num_vertices]
    return out
