"""The operator of the decoupled model: product after product on a rank's own columns of all rows.

Rows are split once and joined once, whatever the number of rounds. All rounds of attention have the
same coefficients. Every rank forms them for itself, edge by edge as it walks, from two numbers a
vertex: none is kept for an edge, and none is sent.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from batchgnn.base import buffers
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.attention_slice import (
    HeadSlice,
    attend_slice,
    attend_slice_adjoint_sources,
    attend_slice_adjoint_targets,
    softmax_slice,
)
from batchgnn.kernels.columns import pack_columns, unpack_columns
from batchgnn.kernels.walk import Run
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.operator import Saved
from batchgnn.operators.sliced import NO_DIAGONAL, NO_SCALE, SlicedOperator
from batchgnn.operators.walk import Walk

HEAD = np.zeros(1, np.int64)
"The one head of the attention of all rounds."


class PropagatedOperator(SlicedOperator):
    """A sliced operator A that multiplies several times between one split and one join.

    Bytes over all P ranks, there and back, of N rows of d numbers of b bytes:

        propagate       4 (1 - 1/P) N d b
        attend_rounds   4 (1 - 1/P) N d b + 4 (P - 1) N b

    in 2 and 3 exchanges each way: the third takes two scores of every vertex to all ranks, and
    brings their gradients back.
    """

    @cached_property
    def _every(self) -> dict[int, np.ndarray]:
        """By the identity of what own rows have: what all rows have."""
        return {}

    def propagate(self, z: np.ndarray, rounds: int) -> np.ndarray:
        """A^rounds z: (num_own, d) -> (num_own, d)."""
        return self._propagated(self.walk, z, rounds, self.scales.source, self.scales.target)

    def propagate_adjoint(self, dy: np.ndarray, rounds: int) -> np.ndarray:
        """The adjoint of `propagate`."""
        return self._propagated(self.back, dy, rounds, self.scales.target, self.scales.source)

    def _propagated(
        self, walk: Walk, x: np.ndarray, rounds: int, before: np.ndarray, after: np.ndarray
    ) -> np.ndarray:
        """Rounds of diag(after) E diag(before) + diag(diagonal) on own columns."""
        bounds = even_bounds(x.shape[1], self.num_ranks)
        z = self._all_columns(np.ascontiguousarray(x), bounds)
        scales = (before, after, self.scales.diagonal)
        before, after, diagonal = (self._of_all_rows(each) for each in scales)
        every, all_columns = np.arange(len(z)), np.array([0, z.shape[1]])
        for _ in range(rounds if z.shape[1] else 0):
            scaled, product = (buffers.empty(z.shape, z.dtype) for _ in range(2))
            pack_columns(z, every, before, all_columns, scaled.reshape(-1))

            def multiply(
                run: Run, rows: slice, x: np.ndarray = scaled, out: np.ndarray = product
            ) -> None:
                self._run_times(run, x, out[rows])

            _visit(walk, multiply)
            blocks = product.reshape(-1)
            unpack_columns(blocks, all_columns, len(z), 0, after, diagonal, z, 0, scaled)
            z = scaled
        return self._joined(z, bounds)

    def _of_all_rows(self, scale: np.ndarray) -> np.ndarray:
        """What every row has: (num_own,) -> (N,); nothing of nothing. Kept: it never changes."""
        if scale is NO_SCALE or scale is NO_DIAGONAL:
            return scale
        if id(scale) not in self._every:
            counts = np.diff(self.walk.row_bounds)
            collect = partial(self.exchange.collect, scale[:, None], counts, "norms")
            self._every[id(scale)] = self.courier.post(collect).wait()[:, 0].copy()
        return self._every[id(scale)]

    def attend_rounds(
        self, z: np.ndarray, scores: np.ndarray, dropout: Dropout, rounds: int
    ) -> tuple[np.ndarray, Saved]:
        """A^rounds z, where A[v, u] = softmax over u of leaky(scores[u, 0] + scores[v, 1]).

        z        (num_own, d)
        scores   as z (num_own, 2)  of a vertex as a source, and as a target
        dropout  of A's elements, the same ones in all rounds

        Returns what `attend_rounds_adjoint` needs beside the result.
        """
        bounds = even_bounds(z.shape[1], self.num_ranks)
        columns = self._all_columns(np.ascontiguousarray(z), bounds)
        counts = np.diff(self.walk.row_bounds)
        every = self.courier.post(partial(self.exchange.collect, scores, counts)).wait()
        s_src, s_dst = (np.ascontiguousarray(every[:, k : k + 1]) for k in range(2))
        segment, softmax = np.array([0, columns.shape[1]]), (np.empty_like(s_src) for _ in range(2))
        part = HeadSlice(columns, s_src, s_dst, segment, HEAD, dropout.mask, *softmax)
        kept: list[HeadSlice] = []
        for n in range(rounds if columns.shape[1] else 0):
            out = buffers.empty(columns.shape, columns.dtype)

            def attend(
                run: Run,
                rows: slice,
                first: bool = n == 0,
                part: HeadSlice = part,
                out: np.ndarray = out,
            ) -> None:
                if first:
                    softmax_slice(run, part)
                attend_slice(run, part, out[rows])

            _visit(self.walk, attend)
            kept.append(part)
            part = part._replace(z=out)
        return self._joined(part.z, bounds), (bounds, kept)

    def attend_rounds_adjoint(self, dh: np.ndarray, saved: Saved) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of the own rows of z, and of their scores, from that of the result.

        An element of A has a gradient in each round. The softmax's backward is linear in it, so
        that gradients of scores are those of the rounds, added up; and those of all columns.
        """
        bounds, kept = saved
        gradient = self._all_columns(np.ascontiguousarray(dh), bounds)
        sums = np.zeros((len(gradient), 2), dh.dtype)
        mean, ds_src, ds_dst = (np.empty((len(gradient), 1), dh.dtype) for _ in range(3))
        for part in reversed(kept):
            out, args = buffers.empty(part.z.shape, part.z.dtype), (part, gradient, mean)

            def of_targets(run: Run, rows: slice, args: tuple[Any, ...] = args) -> None:
                attend_slice_adjoint_targets(run, *args, ds_dst)

            def of_sources(
                run: Run, rows: slice, args: tuple[Any, ...] = args, out: np.ndarray = out
            ) -> None:
                attend_slice_adjoint_sources(run, *args, out[rows], ds_src)

            _visit(self.walk, of_targets)
            _visit(self.back, of_sources)
            sums[:, :1] += ds_src
            sums[:, 1:] += ds_dst
            gradient = out
        dz, counts = self._joined(gradient, bounds), np.diff(self.walk.row_bounds)
        return dz, self.courier.post(partial(self.exchange.reduce, sums, counts)).wait()


def _visit(walk: Walk, visit: Callable[[Run, slice], None]) -> None:
    """Show every run of edges to `visit`, with the rows of the graph that its vertices are."""
    for chunk in range(walk.num_chunks):
        walk.expect(chunk + 1)
        for _, run in walk.runs(chunk):
            visit(run, slice(run.first, run.first + len(run.indptr) - 1))
