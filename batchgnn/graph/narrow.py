"""An order of the shards in which edges join near ones, where the graph has one: grids, roads."""

from typing import NamedTuple

import numpy as np

from batchgnn.graph.assign import Quotient
from batchgnn.kernels.order import cuthill_mckee


class ChunkOrder(NamedTuple):
    """Shards in an order.

    shards  int64 (K,)
    width   how many places the two ends of an edge are apart at most
    """

    shards: np.ndarray
    width: int


def narrow_order(quotient: Quotient) -> ChunkOrder:
    """By reverse Cuthill and McKee on the quotient graph, or as they are where that is narrower.

    quotient: a manifest
    """
    indptr = quotient.quotient_indptr.astype(np.int32)
    indices = quotient.quotient_indices.astype(np.int32)
    num_shards = quotient.num_shards
    start = np.argsort(np.diff(indptr), kind="stable").astype(np.int64)
    found = np.empty(num_shards, np.int64)
    cuthill_mckee(indptr, indices, np.zeros(num_shards, np.int32), start, found)
    orders = [np.arange(num_shards), found[::-1].copy()]
    return min((ChunkOrder(each, _width(quotient, each)) for each in orders), key=lambda o: o.width)


def _width(quotient: Quotient, order: np.ndarray) -> int:
    place = np.argsort(order)
    here = np.repeat(place, np.diff(quotient.quotient_indptr))
    return int(np.abs(here - place[quotient.quotient_indices]).max(initial=0))
