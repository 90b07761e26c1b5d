"""How probably each vertex is among the rows that a rank samples in a step.

F_0 are the seeds; F_h is F_{h-1} and what hop h draws for its vertices. As if vertices were
reached independently of each other,

    1 - P_h(u) = (1 - P_{h-1}(u)) product over u -> v of (1 - min(1, fanout_h / deg v) P_{h-1}(v))

The vertex-inclusion probabilities of SALIENT++ (arXiv:2305.03152), for frontiers that contain the
earlier ones. Logarithms are kept: they add up, and tell near-certain vertices apart.
"""

from collections.abc import Sequence

import numpy as np

from batchgnn.comm.exchange import ArrayRows, RowExchange
from batchgnn.comm.grid import Comm
from batchgnn.kernels.reach import (
    WORD,
    ShardEdges,
    add_over_targets,
    log_missed_by_edge,
    mark_targets,
    marked_rows,
)
from batchgnn.kernels.requests import count_owners
from batchgnn.sampling.schedule import Schedule
from batchgnn.store.own_shards import OwnShards

LISTED_WORDS = 1 << 17


class Reach:
    """Passes over the out-edges of all ranks' shards, planned once; every method is collective.

    A rank holds what concerns its own vertices and those that their out-edges lead to.
    """

    def __init__(self, comm: Comm, own: OwnShards):
        self.own = own
        self.first_id = own.ownership.offset[own.shards]
        seen = np.zeros(-(-own.ownership.num_vertices // WORD), np.uint64)
        address = own.out_indptr.address, own.out_indices.address
        self.edges = ShardEdges(own.first_row, *address, own.out_indices.like, self.first_id)
        mark_targets(self.edges, seen)
        row_of, halo, counts = rows_of(own, marked_ids(seen), comm.size)
        self.num_halo = len(halo)
        self.exchange = RowExchange(comm, own.ownership.local_rows(halo), counts, "reach")
        self.marked = marked_rows(seen, row_of)

    def scores(self, start: np.ndarray, fanouts: Sequence[int]) -> np.ndarray:
        """float32 (num_own, k): -log(1 - P) of being sampled within len(fanouts) hops; inf: surely.

        start: (num_own, k), the probability that an own vertex is a seed; each column is a sampler
        of its own: one rank's seeds, or those of all ranks (whose draws agree with each other).
        fanouts: edges drawn per vertex and hop, from the seeds outward; -1 = all
        """
        num_own, width = start.shape
        with np.errstate(divide="ignore"):
            log_missed = np.log1p(-start).astype(np.float32)
        by_edge = np.empty((num_own + self.num_halo, width), np.float32)
        for fanout in fanouts:
            log_missed_by_edge(log_missed, self.own.degree_in, fanout, by_edge[:num_own])
            self.exchange.forward(ArrayRows(by_edge[:num_own]), by_edge[num_own:])
            add_over_targets(self.edges, self.marked, by_edge, log_missed)
        return np.float32(0) - log_missed  # no -0

    @property
    def column_bytes(self) -> int:
        """Bytes of a column of `scores` while it is computed."""
        held = 4 * self.own.num_own + self.num_halo + len(self.exchange.send_rows)
        return 4 * held


def rows_of(
    own: OwnShards, marked: np.ndarray, num_ranks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of each id: own rows, then remote ones; the remote ids by owner; how many each owns.

    marked: int64 (n,), ascending. Returns int64 (n,), int64 (h,) and int64 (num_ranks,).
    """
    owner, row_of = own.ownership.owner(marked), own.ownership.local_rows(marked)
    far = np.flatnonzero(owner != own.rank)
    far = far[np.argsort(owner[far], kind="stable")]
    row_of[far] = own.num_own + np.arange(len(far))
    counts = np.empty(num_ranks, np.int64)
    count_owners(owner[far], counts)
    return row_of, marked[far], counts


def probability(scores: np.ndarray) -> np.ndarray:
    """P of `Reach.scores`: float32, of any shape."""
    return -np.expm1(-scores)


def seed_probability(own: OwnShards, schedule: Schedule) -> np.ndarray:
    """float32 (num_own,): how probably each own vertex is a seed of a step."""
    out = np.zeros(own.num_own, np.float32)
    for seeds in schedule.shard_seeds:
        out[own.ownership.local_rows(seeds)] = 1 / schedule.num_steps
    return out


def marked_ids(seen: np.ndarray) -> np.ndarray:
    """int64: ids whose bit is set, ascending."""
    found = []
    for begin in range(0, len(seen), LISTED_WORDS):
        octets = seen[begin : begin + LISTED_WORDS].astype("<u8").view(np.uint8)
        bits = np.unpackbits(octets, bitorder="little")
        found.append(np.flatnonzero(bits) + begin * WORD)
    return np.concatenate(found) if found else np.empty(0, np.int64)
