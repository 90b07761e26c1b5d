"""The order in which all ranks visit all vertices: in chunks, each with some of every rank.

Chunk j has the j-th stripe of every rank's rows, so that what is computed for it goes to all ranks
in equal parts. The rows that it is the first to need form group j: they are sent before the others.
"""

from collections.abc import Iterator

import numpy as np

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.walk import Run, first_chunks
from batchgnn.store.edges import Edges


class Walk:
    """Chunks of targets of `edges`, with their edges.

    num_chunks  the same on all ranks
    row_bounds  int64 (P + 1,)  rank p holds the rows row_bounds[p] : row_bounds[p + 1]
    """

    def __init__(
        self, edges: Edges, row_bounds: np.ndarray, num_chunks: int, *, frugal: bool = False
    ):
        """frugal: give the pages of a chunk's edges back when it is done."""
        self.edges, self.row_bounds, self.num_chunks = edges, row_bounds, num_chunks
        self.frugal = frugal
        rows = np.diff(row_bounds)
        self._cuts = row_bounds[:-1] + np.array([even_bounds(n, num_chunks) for n in rows]).T
        self._groups: list[np.ndarray] | None = None

    @property
    def num_rows(self) -> int:
        """Vertices of the graph."""
        return int(self.row_bounds[-1])

    def counts(self, chunk: int) -> np.ndarray:
        """int64 (P,): targets of a chunk that each rank holds."""
        return self._cuts[chunk + 1] - self._cuts[chunk]

    def stripe(self, chunk: int, rank: int) -> tuple[int, int]:
        """First row, among those of `rank`, of its stripe of a chunk, and how many rows."""
        first = self._cuts[chunk, rank] - self.row_bounds[rank]
        return int(first), int(self.counts(chunk)[rank])

    def runs(self, chunk: int) -> Iterator[tuple[int, Run]]:
        """The edges of a chunk's targets, and where their rows begin in the chunk's result."""
        at = 0
        for begin, end in self.stripes(chunk):
            for run in self.edges.runs(begin, end):
                yield at, run
                at += len(run.indptr) - 1
            if self.frugal:
                self.edges.forget(begin, end)

    def expect(self, chunk: int) -> None:
        """Let the system read a chunk's edges ahead, if pages are given back."""
        if self.frugal and chunk < self.num_chunks:
            for begin, end in self.stripes(chunk):
                self.edges.expect(begin, end)

    def first_needed(self, rank: int) -> np.ndarray:
        """int32 (N,): the first chunk in which an edge of this rank's rows needs each row."""
        out = np.full(self.num_rows, self.num_chunks - 1, np.int32)
        for chunk in range(self.num_chunks):
            for run in self._own_runs(chunk, rank):
                first_chunks(run, chunk, out)
        return out

    def own_runs(self, rank: int) -> Iterator[Run]:
        """The edges of the rows of one rank."""
        for chunk in range(self.num_chunks):
            yield from self._own_runs(chunk, rank)

    def _own_runs(self, chunk: int, rank: int) -> Iterator[Run]:
        begin, end = int(self._cuts[chunk, rank]), int(self._cuts[chunk + 1, rank])
        yield from self.edges.runs(begin, end)
        if self.frugal:
            self.edges.forget(begin, end)

    def set_groups(self, first_needed: np.ndarray) -> None:
        """first_needed: int32 (N,), the least of `first_needed` over the ranks."""
        order = np.argsort(first_needed.astype(np.uint16), kind="stable")
        counts = np.bincount(first_needed, minlength=self.num_chunks)
        self._groups = np.split(order, np.cumsum(counts)[:-1])

    def group(self, chunk: int) -> np.ndarray | None:
        """int64: rows that a chunk is the first to need, ascending; None: all of them."""
        return None if self._groups is None else self._groups[chunk]

    def group_counts(self, chunk: int) -> np.ndarray:
        """int64 (P,): how many of them each rank holds."""
        group = self.group(chunk)
        if group is None:
            return np.diff(self.row_bounds)
        return np.diff(np.searchsorted(group, self.row_bounds))

    def own_group(self, chunk: int, rank: int) -> np.ndarray:
        """int64: rows of `rank`, from 0, that it sends for a chunk."""
        begin, end = self.row_bounds[rank : rank + 2]
        group = self.group(chunk)
        if group is None:
            return np.arange(end - begin)
        return group[slice(*np.searchsorted(group, (begin, end)))] - begin

    def stripes(self, chunk: int) -> Iterator[tuple[int, int]]:
        """First row of each rank's stripe of a chunk, and last row + 1."""
        cuts = self._cuts[chunk : chunk + 2].tolist()
        yield from zip(*cuts, strict=True)
