"""Shard-store ids: shard after shard, and inside a shard neighbours close to each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.kernels.order import cuthill_mckee
from batchgnn.partition.cut_graph import CutGraph


@dataclass(frozen=True, eq=False)
class Numbering:
    """Between rows of the graph store and ids of the shard store.

    offset       int64 (K + 1,)  first id of each shard, then N
    original_id  int64 (N,)      row in the graph store of each shard-store id
    new_id       ids' dtype (N,) shard-store id of each row of the graph store
    """

    offset: np.ndarray
    original_id: np.ndarray
    new_id: np.ndarray


def number(
    shard: np.ndarray, num_shards: int, id_dtype: DTypeLike, order: np.ndarray | None = None
) -> Numbering:
    """Number the vertices shard after shard.

    shard  int32 (N,)  each below num_shards
    order  int64 (N,)  permutation: the order of vertices within their shards; None = by row
    """
    if order is None:
        original = np.argsort(shard, kind="stable")
    else:
        original = order[np.argsort(shard[order], kind="stable")]
    new_id = np.empty(len(shard), id_dtype)
    new_id[original] = np.arange(len(shard), dtype=id_dtype)
    sizes = np.bincount(shard, minlength=num_shards)
    return Numbering(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), original, new_id)


def rcm_order(graph: CutGraph, shard: np.ndarray) -> np.ndarray:
    """int64 (N,): reverse Cuthill-McKee order inside each shard, for `number`.

    Edges between shards do not count. Each component starts at its vertex of least degree.
    """
    degree = np.diff(graph.indptr)
    start = np.lexsort((np.arange(len(shard)), degree, shard)).astype(np.int64)
    order = np.empty(len(shard), np.int64)
    cuthill_mckee(graph.indptr, graph.indices, shard, start, order)
    return order[::-1].copy()
