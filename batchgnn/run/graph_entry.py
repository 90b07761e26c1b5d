"""What result.json tells of the graph that was trained on: its size, and vertices of each class."""

from typing import Any

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.modes.share import Share
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest

NUM_ROLES = 4
"No role, training, validation, test: what `OwnShards.split` holds."


def graph_entry(share: Share) -> dict[str, Any]:
    """`graph` and, where vertices have classes, `class_counts` of the run's split; collective."""
    manifest = share.manifest
    label = share.own.label
    if label.dtype.kind == "f" or 0 in label.shape[1:]:
        return {"graph": size_of(manifest, 0 if label.ndim == 1 else manifest.num_classes)}
    counts = class_counts(share.own, share.split_index)
    allreduce_sum(share.grid.world, counts, "class counts")
    named = dict(zip(manifest.class_names, counts.tolist(), strict=True)) if counts.any() else {}
    return {"graph": size_of(manifest, manifest.num_classes), "class_counts": named}


def size_of(manifest: Manifest, num_classes: int) -> dict[str, Any]:
    """Counts as `batchgnn inspect` has them: an undirected edge counts once."""
    edges = manifest.num_edges if manifest.directed else manifest.num_edges // 2
    return {
        "name": manifest.name,
        "kind": "directed" if manifest.directed else "undirected",
        "vertices": int(manifest.num_vertices),
        "edges": int(edges),
        "features": int(manifest.num_features),
        "classes": int(num_classes),
    }


def class_counts(own: OwnShards, split_index: int) -> np.ndarray:
    """int64 (num_classes, NUM_ROLES): own vertices of each class by their role in a split.

    A vertex of several classes counts in each.
    """
    counts = np.zeros((own.manifest.num_classes, NUM_ROLES), np.int64)
    role = own.split[:, split_index]
    if own.label.ndim == 1:
        known = own.label >= 0
        np.add.at(counts, (own.label[known], role[known]), 1)
    else:
        vertex, label = np.nonzero(own.label == 1)
        np.add.at(counts, (label, role[vertex]), 1)
    return counts
