"""The operator of the decoupled model: product after product on a rank's own columns of all rows.

Rows are split once and joined once, whatever the number of rounds. All rounds of attention have the
same coefficients. Every rank forms them for itself, edge by edge as it walks, from two numbers a
vertex: none is kept for an edge, and none is sent.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from batchgnn.base import buffers
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.kernels.attention_slice import (
    attend_slice,
    attend_slice_adjoint_sources,
    attend_slice_adjoint_targets,
    softmax_slice,
)
from batchgnn.kernels.columns import pack_columns, unpack_columns
from batchgnn.operators.sliced import NO_OWN, NO_SCALE, SlicedOperator
from batchgnn.operators.walk import Walk
from batchgnn.store.edges import Run

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

    def __init__(self, *args: Any) -> None:
        """As `SlicedOperator`."""
        super().__init__(*args)
        self._every: dict[int, np.ndarray] = {}

    def propagate(self, z: np.ndarray, rounds: int) -> np.ndarray:
        """A^rounds z: (num_own, d) -> (num_own, d)."""
        return self._propagated(self.walk, z, rounds, self.scales.source, self.scales.target)

    def propagate_adjoint(self, dy: np.ndarray, rounds: int) -> np.ndarray:
        """The adjoint of `propagate`."""
        return self._propagated(self.back, dy, rounds, self.scales.target, self.scales.source)

    def _propagated(self, walk: Walk, x: np.ndarray, rounds: int, before, after) -> np.ndarray:
        """Rounds of diag(after) E diag(before) + diag(own) on own columns."""
        bounds = even_bounds(x.shape[1], self.num_ranks)
        z = self._all_columns(np.ascontiguousarray(x), bounds)
        before, after, own = (self._of_all_rows(each) for each in (before, after, self.scales.own))
        every, whole = np.arange(len(z)), np.array([0, z.shape[1]])
        for _ in range(rounds if z.shape[1] else 0):
            scaled, product = (buffers.empty(z.shape, z.dtype) for _ in range(2))
            pack_columns(z, every, before, whole, scaled.reshape(-1))

            def multiply(run: Run, rows: slice, x=scaled, out=product) -> None:
                self._run_times(run, x, out[rows])

            _visit(walk, multiply)
            unpack_columns(product.reshape(-1), whole, len(z), 0, after, own, z, 0, scaled)
            z = scaled
        return self._joined(z, bounds)

    def _of_all_rows(self, own: np.ndarray) -> np.ndarray:
        """What every row has: (num_own,) -> (N,); nothing of nothing. Kept: it never changes."""
        if own is NO_SCALE or own is NO_OWN:
            return own
        if id(own) not in self._every:
            counts = np.diff(self.walk.row_bounds)
            collect = partial(self.exchange.collect, own[:, None], counts, "norms")
            self._every[id(own)] = self.courier.post(collect).wait()[:, 0].copy()
        return self._every[id(own)]

    def attend_rounds(self, z, scores, dropout, rounds: int) -> tuple[np.ndarray, Any]:
        """A^rounds z, where A[v, u] = softmax over u of leaky(scores[u, 0] + scores[v, 1]).

        z        (num_own, d)
        scores   as z (num_own, 2)  of a vertex as a source, and as a target
        dropout  nn.dropout.Dropout of A's elements, the same ones in all rounds

        Returns what `attend_rounds_adjoint` needs beside the result.
        """
        bounds = even_bounds(z.shape[1], self.num_ranks)
        columns = self._all_columns(np.ascontiguousarray(z), bounds)
        counts = np.diff(self.walk.row_bounds)
        every = self.courier.post(partial(self.exchange.collect, scores, counts)).wait()
        s_src, s_dst = (np.ascontiguousarray(every[:, k : k + 1]) for k in range(2))
        softmax = np.empty_like(s_src), np.empty_like(s_src)
        segment = np.array([0, columns.shape[1]])
        drop = dropout.key, dropout.threshold, dropout.scale
        given = (s_src, s_dst, segment, HEAD, *drop, *softmax)
        kept: list[np.ndarray] = []
        for n in range(rounds if columns.shape[1] else 0):
            out = buffers.empty(columns.shape, columns.dtype)

            def attend(run: Run, rows: slice, first=n == 0, z=columns, out=out) -> None:
                where = run.indptr, run.indices, run.first
                if first:
                    softmax_slice(*where, s_src, s_dst, *softmax)
                attend_slice(*where, z, *given, out[rows])

            _visit(self.walk, attend)
            kept.append(columns)
            columns = out
        return self._joined(columns, bounds), (bounds, kept, given)

    def attend_rounds_adjoint(self, dh: np.ndarray, saved) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of the own rows of z, and of their scores, from that of the result.

        An element of A has a gradient in each round. The softmax's backward is linear in it, so
        that gradients of scores are those of the rounds, added up; and those of all columns.
        """
        bounds, kept, given = saved
        gradient = self._all_columns(np.ascontiguousarray(dh), bounds)
        sums = np.zeros((len(gradient), 2), dh.dtype)
        mean, ds_src, ds_dst = (np.empty((len(gradient), 1), dh.dtype) for _ in range(3))
        for z in reversed(kept):
            out, args = buffers.empty(z.shape, z.dtype), (z, *given, gradient, mean)

            def of_targets(run: Run, rows: slice, args=args) -> None:
                where = run.indptr, run.indices, run.first
                attend_slice_adjoint_targets(*where, *args, ds_dst)

            def of_sources(run: Run, rows: slice, args=args, out=out) -> None:
                where = run.indptr, run.indices, run.first
                attend_slice_adjoint_sources(*where, *args, out[rows], ds_src)

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
