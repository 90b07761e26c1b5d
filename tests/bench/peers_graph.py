"""The graph of a shard store as plain .npy files, for systems that read no shard store.

`python peers_graph.py SHARDS FOLDER ORDER`: ORDER `shards` numbers vertices as the shard store does
(METIS parts, ordered for locality inside), `store` as the graph store did before partitioning.
Files: indptr int64, indices int32 (in-edges, CSC as DGL says), features float32, label int64, train
int64 (ids of the training vertices).
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np

TRAIN = 1


def export(shards: Path, folder: Path, order: str) -> None:
    """Write the folder, beside first; an existing folder is left as it is."""
    if folder.exists():
        return
    arrays = _joined(shards)
    if order == "store":
        arrays = _renumbered(arrays)
    arrays["train"] = np.flatnonzero(arrays.pop("split") == TRAIN)
    del arrays["original_id"]
    beside = folder.with_name(f"{folder.name}.part{os.getpid()}")
    beside.mkdir(parents=True)
    try:
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _joined(path: Path) -> dict[str, np.ndarray]:
    """All shards one after the other."""
    from batchgnn.store.shard_store import ShardStore

    store = ShardStore(path)
    shards = [store.shard(s) for s in range(store.manifest.num_shards)]
    first_edge = np.cumsum([0, *(len(s.in_indices) for s in shards)])
    indptr = [s.in_indptr[:-1] + e for s, e in zip(shards, first_edge[:-1], strict=True)]
    return {
        "indptr": np.concatenate([*indptr, first_edge[-1:]]).astype(np.int64),
        "indices": np.concatenate([s.in_indices for s in shards]).astype(np.int32),
        "features": np.concatenate([s.features for s in shards]).astype(np.float32),
        "label": np.concatenate([s.label for s in shards]).astype(np.int64),
        "split": np.concatenate([s.split[:, 0] for s in shards]),
        "original_id": np.concatenate([s.original_id for s in shards]),
    }


def _renumbered(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same graph with vertex original_id[v] for v."""
    new_id, indptr = arrays["original_id"], arrays["indptr"]
    old_id = np.argsort(new_id)
    degree = np.diff(indptr)[old_id]
    new_indptr = np.concatenate([[0], np.cumsum(degree)])
    edge = np.arange(new_indptr[-1]) + np.repeat(indptr[old_id] - new_indptr[:-1], degree)
    rows = {name: arrays[name][old_id] for name in ("features", "label", "split", "original_id")}
    indices = new_id[arrays["indices"][edge]].astype(np.int32)
    return {"indptr": new_indptr, "indices": indices, **rows}


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
