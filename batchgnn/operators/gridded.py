"""The operator of the grid: parts of the graph by rows, each worked on by a group by columns.

A group of Pt ranks has the vertices of one part of the shards. Rows are split into columns and
joined inside the group; in between, ranks that have the same slice of columns, one of each group,
exchange the halo of the slice. Exact, as both are.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from batchgnn.comm.columns import ColumnExchange
from batchgnn.comm.grid import Comm
from batchgnn.nn.dropout import Dropout
from batchgnn.operators.halo import HaloOperator
from batchgnn.operators.local import Coefficients
from batchgnn.operators.sliced import Scales, SlicedOperator, Slices, slices_of
from batchgnn.operators.walk import Walk
from batchgnn.store.edges import Edges


class GridOperator(SlicedOperator):
    """Split, the halo operator's product of own columns of the part's rows, join."""

    def __init__(
        self,
        comm: Comm,
        exchange: ColumnExchange,
        inner: HaloOperator,
        row_bounds: np.ndarray,
        ids: np.ndarray,
    ):
        """Collective.

        comm: all ranks, for `total`; exchange: inside the group
        inner: of the part's rows, among the ranks with the same slice; its courier carries all
        row_bounds: int64 (Pt + 1,), the part's rows that each rank of the group has
        """
        nothing = Edges(row_bounds[[0, -1]], [])
        there, back = Walk(nothing, row_bounds, 1), Walk(nothing, row_bounds, 1)
        super().__init__(comm, exchange, inner.courier, there, back, ids, Scales())
        self.inner = inner
        self.num_targets = self.num_sources = inner.num_targets

    def prepare(self, adjoint: bool) -> None:
        """Build now what the halo operator needs."""
        self.inner.prepare(adjoint)

    def _edges_times(self, walk: Walk, chunk: int, z: np.ndarray, out: np.ndarray) -> None:
        multiply = self.inner.gather if walk is self.walk else self.inner.gather_adjoint
        out[...] = multiply(z)

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, tuple[Slices, list[Coefficients]]]:
        """As `LocalOperator.attend`, over own vertices; z (num_own, heads, width)."""
        slices = slices_of(z.shape[1], z.shape[2], self.num_ranks, self.rank)
        flat = np.ascontiguousarray(z).reshape(len(z), -1)
        own_z = self._all_columns(flat, slices.bounds)
        scores = [self._all_rows(s, slices) for s in (s_src, s_dst)]
        out, saved = np.empty_like(own_z), []
        for segments, columns in _pieces(slices):
            drop = replace(dropout, first=int(slices.head[segments.start]))
            part = _heads(own_z[:, columns], segments)
            given = [np.ascontiguousarray(s[:, segments]) for s in scores]
            h, kept = self.inner.attend(part, given[0], given[1], drop)
            out[:, columns] = h.reshape(len(h), -1)
            saved.append(kept)
        return self._joined(out, slices.bounds).reshape(z.shape), (slices, saved)

    def attend_adjoint(
        self, dh: np.ndarray, saved: tuple[Slices, list[Coefficients]]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of the own rows of z, s_src and s_dst from that of h."""
        slices, kept = saved
        flat = np.ascontiguousarray(dh).reshape(len(dh), -1)
        own_dh = self._all_columns(flat, slices.bounds)
        dz = np.empty_like(own_dh)
        sums = [np.empty((len(dz), len(slices.head)), dz.dtype) for _ in range(2)]
        for (segments, columns), each in zip(_pieces(slices), kept, strict=True):
            part = _heads(own_dh[:, columns], segments)
            dz_part, *ds = self.inner.attend_adjoint(part, each)
            dz[:, columns] = dz_part.reshape(len(dz), -1)
            for total, one in zip(sums, ds, strict=True):
                total[:, segments] = one
        scores = [self._own_rows(ds, slices, dh.shape[1]) for ds in sums]
        return self._joined(dz, slices.bounds).reshape(dh.shape), scores[0], scores[1]


def _pieces(slices: Slices) -> Iterator[tuple[slice, slice]]:
    """Segments, and their columns, that attend in one: all whole heads, or a part of one head."""
    num = len(slices.head)
    step = max(num, 1) if slices.heads is not None else 1
    for first in range(0, num, step):
        last = first + step
        yield slice(first, last), slice(int(slices.segment[first]), int(slices.segment[last]))


def _heads(columns: np.ndarray, segments: slice) -> np.ndarray:
    """(n, d) -> (n, heads, width), contiguous."""
    num = segments.stop - segments.start
    return np.ascontiguousarray(columns).reshape(len(columns), num, columns.shape[1] // num)
