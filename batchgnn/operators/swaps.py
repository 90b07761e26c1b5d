"""Rows of a chunk that ranks which take parts of it at once need of each other, there and back.

Ranks that share the layers of a stage, its *ways*, own a run of the vertices each. Their chunks of
one number together are one chunk: before it is aggregated, its rows are swapped, so that all are
fresh; in backward the gradients of rows that others own travel home.
"""

from dataclasses import dataclass, replace

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.exchange import RowExchange, starts
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.spmm import NO_WEIGHTS, ONTO, UNWEIGHTED, spmm

NAME = "rows of ways"


@dataclass(frozen=True)
class Home:
    """Where the rows that come home from other ways belong.

    indptr  int64 (n + 1,): those of the chunk's row r are indptr[r] : indptr[r + 1] of places
    """

    indptr: np.ndarray
    places: np.ndarray


class Swaps:
    """The exchanges of all chunks; its methods are for all ways to call, in one order.

    num_own    rows of this rank, before those of others
    exchanges  one a chunk
    """

    def __init__(self, num_own: int, exchanges: list[RowExchange], bounds: np.ndarray):
        """bounds: int64 (C + 1,), this rank's rows by chunk."""
        self.num_own, self.exchanges, self.bounds = num_own, exchanges, bounds
        received = np.array([each.num_received for each in exchanges], np.int64)
        self._far = num_own + starts(received)
        self.homes = [self._home(k) for k in range(len(exchanges))]

    @property
    def num_far(self) -> int:
        """Rows of other ways that this rank reads, of all chunks."""
        return int(self._far[-1]) - self.num_own

    def rows(self, chunk: int) -> slice:
        """Where the rows of other ways are that a chunk has."""
        return slice(int(self._far[chunk]), int(self._far[chunk + 1]))

    def fetch(self, chunk: int, every: np.ndarray) -> None:
        """The chunk's rows of other ways, into (num_own + num_far, d); own ones are there."""
        exchange = self.exchanges[chunk]
        exchange.send(every[exchange.send_rows], every[self.rows(chunk)])

    def add_home(self, chunk: int, far: np.ndarray, out: np.ndarray) -> None:
        """The adjoint: far (h, d), of rows of others, is added to their own rows, out (n, d)."""
        exchange, home = self.exchanges[chunk], self.homes[chunk]
        rows = buffers.empty((len(exchange.send_rows), far.shape[1]), far.dtype)
        exchange.send_back(far, rows)
        spmm(home.indptr, home.places, NO_WEIGHTS, UNWEIGHTED, rows, ONTO, out)

    def _home(self, chunk: int) -> Home:
        first, end = self.bounds[chunk : chunk + 2]
        rows = self.exchanges[chunk].send_rows.astype(np.int64) - first
        indptr = starts(np.bincount(rows, minlength=int(end - first)))
        return Home(indptr, np.argsort(rows, kind="stable").astype(np.int32))


def swapped(
    comm: Comm, block: Block, ownership: Ownership, chunk_of_shard: np.ndarray, bounds: np.ndarray
) -> tuple[Block, Swaps]:
    """The block with its remote sources in the order of the chunks, and their swaps; collective.

    comm: of the ways alone; ownership: of the ways
    block: in-edges of this rank's vertices; sources of other ways by way, and ascending
    chunk_of_shard: int64 (K,); bounds: as of `Swaps`
    """
    num_own, far = block.num_targets, block.ids[block.num_targets :].astype(np.int64)
    chunk = chunk_of_shard[ownership.shard_of(far)]
    order = np.argsort(chunk, kind="stable")
    ids, chunk = far[order], chunk[order]
    owner, rows = ownership.owner(ids), ownership.local_rows(ids)
    exchanges = []
    for k in range(len(bounds) - 1):
        here = chunk == k
        counts = np.bincount(owner[here], minlength=comm.size)
        exchanges.append(RowExchange(comm, rows[here], counts, NAME))
    return _in_order(block, order), Swaps(num_own, exchanges, bounds)


def _in_order(block: Block, order: np.ndarray) -> Block:
    """The block whose remote sources are order[0], order[1], ... of before."""
    num_own = block.num_targets
    place = np.arange(block.num_sources, dtype=np.int32)
    place[num_own + order] = np.arange(num_own, block.num_sources, dtype=np.int32)
    every = np.concatenate([np.arange(num_own), num_own + order])
    scale = None if block.scale is None else block.scale[every]
    return replace(block, indices=place[block.indices], ids=block.ids[every], scale=scale)
