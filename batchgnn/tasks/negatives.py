"""Vertices that an edge is compared with: drawn by keys, so that they are the same everywhere.

An edge u -> v is the number u x num_vertices + v, as `store.links` has it. What shards draw is
keyed by the shard, so that it does not matter which rank has it.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.comm.exchange import gather_rows
from batchgnn.comm.grid import Comm
from batchgnn.comm.values import values_of_all
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.store.own_shards import OwnShards
from batchgnn.tasks.against import Against

ATTEMPTS = 16
NONE = -1
POWER = 0.75
"Of degrees: Mikolov et al., arXiv:1310.4546, section 2.2."
MOST_IN_BATCH = 1024
"Targets of a shard's edges in a step that each of these is compared with."

Key = tuple[int, int, int]
"Seed, epoch, step."


class TrainingNegatives:
    """What training edges are compared with, anew in each step.

    cumulative  float64 (N,): degrees to the power of .75 added up, for `degree` alone
    comm        of ranks that have parts of shards, for `in-batch` alone; else None
    """

    cumulative: np.ndarray | None = None
    comm: Comm | None = None

    def __init__(self, kind: str, count: int):
        """kind, count: as `Negatives.drawn`."""
        self.kind, self.count = kind, count

    def begin(self, comm: Comm, own: OwnShards) -> None:
        """What the kind asks of all ranks; collective."""
        if self.kind == "degree":
            self.cumulative = np.cumsum(degrees_of_all(comm, own).astype(np.float64) ** POWER)
        if self.kind == "in-batch" and not np.isin(own.ownership.offset, own.manifest.offset).all():
            self.comm = comm

    def against(self, own: OwnShards, edges: np.ndarray, key: Key) -> list[Against]:
        """Of a step's edges of this rank, shard after shard; collective where `comm` is one."""
        ends = np.stack(np.divmod(edges, own.manifest.num_vertices))
        if self.kind == "in-batch":
            return list(self._in_batch(own, edges, ends, key))
        if self.kind == "shared":
            bounds, shards = _shards_of(own, ends[0])
            drawn = _evenly(own.ownership, _bits(shards, self.count, key))
            parts = enumerate(pairwise(bounds))
            return [Against(ends[:, a:b], drawn[:, [s]]) for s, (a, b) in parts]
        if self.kind == "pairs":
            drawn = _evenly(own.ownership, _bits(edges, 2 * self.count, key))
            return [Against(ends, drawn[: self.count], drawn[self.count :])]
        bits = _bits(edges, self.count, key)
        if self.cumulative is None:
            return [Against(ends, _evenly(own.ownership, bits))]
        return [Against(ends, _by_weight(self.cumulative, bits))]

    def _in_batch(
        self, own: OwnShards, edges: np.ndarray, ends: np.ndarray, key: Key
    ) -> Iterator[Against]:
        """The targets of a shard's edges, the same `MOST_IN_BATCH` at most for all of them."""
        bounds, shards = _shards_of(own, ends[0])
        chosen = [_lowest(edges[a:b], key) for a, b in pairwise(bounds)]
        if self.comm is not None:
            chosen = _of_whole_shards(self.comm, own, chosen, shards, key)
        for (a, b), some in zip(pairwise(bounds), chosen, strict=True):
            yield Against(ends[:, a:b], (some % own.manifest.num_vertices)[:, None])


def _of_whole_shards(
    comm: Comm, own: OwnShards, chosen: list[np.ndarray], shards: np.ndarray, key: Key
) -> list[np.ndarray]:
    """Of each of some shards, the edges that all ranks together choose; collective."""
    mine = np.concatenate([np.empty(0, np.int64), *chosen])
    counts = np.array(values_of_all(comm, len(mine)), np.int64)
    every = np.sort(gather_rows(comm, mine, counts, "edges of shards"))
    first = own.manifest.offset.astype(np.int64) * own.manifest.num_vertices
    bounds = np.searchsorted(every, first)
    return [_lowest(every[bounds[s] : bounds[s + 1]], key) for s in shards.tolist()]


def _lowest(edges: np.ndarray, key: Key) -> np.ndarray:
    """`MOST_IN_BATCH` of the edges, drawn; ascending."""
    if len(edges) <= MOST_IN_BATCH:
        return np.sort(edges)
    bits = _bits(edges, 1, key)[0]
    return np.sort(edges[np.lexsort((edges, bits))[:MOST_IN_BATCH]])


def _shards_of(own: OwnShards, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each shard's edges begin, and the end: (k + 1,); the shards' numbers: (k,)."""
    shard = np.searchsorted(own.manifest.offset, source, side="right") - 1
    shards, begin = np.unique(shard, return_index=True)
    return np.append(begin, len(source)), shards


def degrees_of_all(comm: Comm, own: OwnShards) -> np.ndarray:
    """int64 (N,): edges into every vertex of the graph, by its id; collective."""
    ownership = own.ownership
    ids = [ownership.own_ids(rank) for rank in range(comm.size)]
    counts = np.array([len(each) for each in ids], np.int64)
    found = np.empty(own.manifest.num_vertices, np.int64)
    mine = own.degree_in.astype(np.int64)
    found[np.concatenate(ids)] = gather_rows(comm, mine, counts, "degrees")
    return found


def _bits(idents: np.ndarray, count: int, key: Key) -> np.ndarray:
    """uint64 (count, n): what each draws in a step."""
    seed, epoch, step = key
    return _drawn(idents, count, (seed, Purpose.NEGATIVES, epoch, step))


def _evenly(ownership: Ownership, bits: np.ndarray) -> np.ndarray:
    """int64 ids, as likely the one as the other, of the vertices of a trainer, or of all."""
    there = ownership.rank_of_shard >= 0
    first, size = ownership.offset[:-1][there], np.diff(ownership.offset)[there]
    before = np.cumsum(size) - size
    place = below(bits, int(size.sum()))
    shard = np.searchsorted(before, place, side="right") - 1
    return place + (first - before)[shard]


def _by_weight(cumulative: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """int64 ids, by weights that are added up."""
    unit = (bits >> np.uint64(11)).astype(np.float64) / 2.0**53
    place = np.searchsorted(cumulative, unit * cumulative[-1], side="right")
    return np.minimum(place, len(cumulative) - 1)


def scoring_negatives(
    edges: np.ndarray, count: int, num_vertices: int, seed: int, known: np.ndarray
) -> np.ndarray:
    """int64 (count, n): vertices that each edge's source is joined to by no edge of any part.

    known: int64 (m,), ascending, all edges out of the sources, as numbers. A vertex is drawn again
    until it is not the source and not joined to it; `NONE` where that does not succeed.
    """
    source = edges // num_vertices
    shape = (count, len(edges))
    found, left = np.full(shape, NONE, np.int64), np.ones(shape, bool)
    for attempt in range(ATTEMPTS):
        drawn = below(_drawn(edges, count, (seed, Purpose.SCORING, attempt, 0)), num_vertices)
        good = left & (drawn != source) & ~_is_in(source * num_vertices + drawn, known)
        found[good] = drawn[good]
        left &= ~good
        if not left.any():
            break
    return found


def _drawn(idents: np.ndarray, count: int, key: tuple[int, int, int, int]) -> np.ndarray:
    """uint64 (count, n)."""
    bits = np.empty((count, len(idents)), np.uint64)
    for k, row in enumerate(bits):
        fill_draws(np.uint64(stream_key(*key, k)), idents, row)
    return bits


def below(bits: np.ndarray, n: int) -> np.ndarray:
    """int64 in [0, n), as `kernels.rng.below`."""
    return (((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


def _is_in(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool, shaped as the numbers: whether each is one of `known`, which ascend."""
    if not len(known):
        return np.zeros(numbers.shape, bool)
    place = np.searchsorted(known, numbers)
    return known[np.minimum(place, len(known) - 1)] == numbers
