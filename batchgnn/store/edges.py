"""The edges of the whole graph where they lie in the shards, for a walk from target to target.

Nothing is copied: all ranks of a node read the same pages of the page cache. Where the topology is
larger than the memory that a rank may use, pages are given back behind the walk.
"""

import ctypes
import mmap
from collections.abc import Iterator

import numpy as np

from batchgnn.kernels.address import array_at
from batchgnn.kernels.spmm import NO_WEIGHTS
from batchgnn.kernels.walk import Run
from batchgnn.store.shard_store import Shard, ShardStore

_libc = ctypes.CDLL(None, use_errno=True)


class Edges:
    """In-edges by target, or out-edges by source, of all vertices."""

    def __init__(self, offset: np.ndarray, parts: list[tuple[np.ndarray, ...]]):
        """offset: int64 (K + 1,), first vertex of each part; parts: its indptr, indices, weight."""
        self.offset, self.parts = offset, [_plain(offset[-1], *part) for part in parts]
        self._kept_alive = parts

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return sum(array.nbytes for part in self.parts for array in part)

    def runs(self, begin: int, end: int) -> Iterator[Run]:
        """The edges of the vertices begin ... end - 1, a run for each part that has some."""
        for k, a, b in self._within(begin, end):
            indptr, indices, weight = self.parts[k]
            ends = indptr[a : b + 1]
            edges = slice(int(ends[0]), int(ends[-1]))
            yield Run(int(self.offset[k]) + a, ends - ends[0], indices[edges], weight[edges])

    def forget(self, begin: int, end: int) -> None:
        """Give this process's pages of these edges back, where they are mapped."""

    def expect(self, begin: int, end: int) -> None:
        """Say that these edges will be needed soon."""

    def _within(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Part, first row and last row + 1 in it, of the parts that have such vertices."""
        if begin == end:
            return
        first = int(np.searchsorted(self.offset, begin, side="right")) - 1
        for k in range(first, len(self.parts)):
            a, b = int(self.offset[k]), int(self.offset[k + 1])
            if a >= end:
                break
            if max(a, begin) < min(b, end):
                yield k, max(a, begin) - a, min(b, end) - a


class MappedEdges(Edges):
    """The edges in the shards of a store, all of them mapped."""

    def __init__(self, store: ShardStore, *, side: str, weighted: bool):
        """side: "in" or "out"; an undirected store has "in" alone. Raises StoreError."""
        parts: list[tuple[np.ndarray, ...]] = []
        for s in range(store.manifest.num_shards):
            shard = store.shard(s)
            weight = getattr(shard, f"{side}_weight") if weighted else None
            indptr, indices = getattr(shard, f"{side}_indptr"), getattr(shard, f"{side}_indices")
            parts.append((indptr, indices, NO_WEIGHTS if weight is None else weight))
        super().__init__(store.manifest.offset, parts)

    def forget(self, begin: int, end: int) -> None:
        """Give this process's pages of these edges back; they are read again when needed."""
        self._advise(mmap.MADV_DONTNEED, begin, end)

    def expect(self, begin: int, end: int) -> None:
        """Say that these edges will be needed soon; the system reads ahead."""
        self._advise(mmap.MADV_WILLNEED, begin, end)

    def _advise(self, advice: int, begin: int, end: int) -> None:
        """Of the mapped arrays; others, as of `induced.py`, would lose what they hold."""
        for k, a, b in self._within(begin, end):
            indptr, indices, weight = self.parts[k]
            edges = slice(int(indptr[a]), int(indptr[b]))
            pieces = indptr[a : b + 1], indices[edges], weight[edges]
            for array, whole in zip(pieces, self._kept_alive[k], strict=True):
                if isinstance(whole, np.memmap):
                    advise(array, advice)


class ShardEdges(MappedEdges):
    """The in-edges of a shard, or of a piece of one."""

    def __init__(self, shard: Shard):
        weight = NO_WEIGHTS if shard.in_weight is None else shard.in_weight
        bounds = np.array([shard.first_vertex, shard.first_vertex + shard.num_vertices])
        Edges.__init__(self, bounds, [(shard.in_indptr, shard.in_indices, weight)])


def advise(array: np.ndarray, advice: int) -> None:
    """Tell the system of the whole pages of a mapped array; never of the process's own memory."""
    first, end = array.ctypes.data, array.ctypes.data + array.nbytes
    first, end = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if end > first:
        _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), advice)


def _plain(
    num_vertices: int, indptr: np.ndarray, indices: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Ordinary arrays on the same memory, for which kernels are compiled once; ids as int32.

    The memory is mapped for reading: nobody may write.
    """
    if num_vertices < 2**31 and indices.dtype == np.uint32:
        indices = indices.view(np.int32)
    arrays = (indptr, indices, weight)
    return tuple(
        array_at(array.ctypes.data, array.shape, array) if array.size else np.empty(0, array.dtype)
        for array in arrays
    )
