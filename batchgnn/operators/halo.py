"""The operator of graph parallelism: each rank has the in-edges of its own vertices.

Rows of sources that other ranks own, the halo, are fetched while the product with own rows runs;
their gradients travel home while the own ones are computed. Every sum is pulled in a fixed order
(own edges, then the halo's; gradients from other ranks in the order of the ranks), so the result
depends neither on the number of threads nor on whether messages and products overlap.
"""

from functools import cached_property
from math import prod

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.courier import Courier, Posted
from batchgnn.comm.exchange import RowExchange, allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.rows import Rows
from batchgnn.kernels.segment import transpose_csr
from batchgnn.kernels.spmm import (
    BESIDE,
    NO_WEIGHTS,
    ONTO,
    PER_EDGE,
    UNWEIGHTED,
    WITHOUT,
    spmm,
)
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.operator import Aggregation, Matrix
from batchgnn.operators.local import Coefficients, LocalOperator
from batchgnn.operators.products import SquareProducts, multiply_adjoint


class HaloOperator(SquareProducts):
    """The operator of the whole graph, whose rows and columns are dealt to the ranks.

    x and every result have a row for each own vertex. All methods but `targets` and `add_targets`
    are collective; `num_targets` and `num_sources` are those of the whole graph, so that all ranks
    choose the same order of products. What A holds is as in `LocalOperator`, every edge drawn.
    """

    only_inputs = False

    def __init__(
        self,
        comm: Comm,
        block: Block,
        aggregation: Aggregation,
        exchange: RowExchange,
        courier: Courier,
        *,
        num_vertices: int,
        symmetric: bool = False,
    ):
        """Split the edges of the own vertices by where their sources are.

        comm: for `total`, which is called between exchanges, by the thread that trains
        block: own vertices, and as sources they and then the rows that `exchange` fetches
        exchange: its communicator is the courier's alone, if that has a thread
        symmetric: an undirected graph: the edges between own vertices are their own transpose
        """
        self.comm, self.exchange, self.courier = comm, exchange, courier
        self.num_targets = self.num_sources = num_vertices
        self.num_own, self.num_halo = block.num_targets, exchange.num_received
        self.source_ids = self.target_ids = block.ids[: self.num_own]
        self.attending = LocalOperator(block, aggregation) if aggregation == "attention" else None
        if self.attending is None:
            matrix = LocalOperator(block, aggregation).matrix()
            self.local, self.halo = _split(matrix, self.num_own, self.num_halo, symmetric)

    def prepare(self, adjoint: bool) -> None:
        """Build now what gathering needs, and its adjoint."""
        if self.attending is not None:
            self.attending.prepare(adjoint)
        elif adjoint:
            _ = self.local.transposed, self.halo.transposed
        if adjoint:
            _ = self._homeward

    @property
    def _attention(self) -> LocalOperator:
        """The operator of own vertices and the halo that attends."""
        if self.attending is None:
            raise TypeError("an operator that aggregates by fixed weights cannot attend")
        return self.attending

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Coefficients]:
        """As `LocalOperator.attend`, over own vertices: the halo's z and scores are fetched."""
        num_own, every = self.num_own, self.num_own + self.num_halo
        near = flat(z), s_src
        all_rows = [buffers.empty((every, x.shape[1]), x.dtype) for x in near]
        arriving = [self._fetch(x, out[num_own:]) for x, out in zip(near, all_rows, strict=True)]
        for x, out, far in zip(near, all_rows, arriving, strict=True):
            out[:num_own] = x
            far.wait()
        all_z, all_s = all_rows
        every_z = all_z.reshape(every, *z.shape[1:])
        return self._attention.attend(every_z, all_s, s_dst, dropout)

    def attend_adjoint(
        self, dh: np.ndarray, saved: Coefficients
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of the own rows of z, s_src and s_dst from that of h."""
        num_own, every = self.num_own, self.num_own + self.num_halo
        dscore, ds_dst = self._attention.score_gradients(dh, saved)
        far = self._attention.source_gradients(dh, saved, dscore, num_own, every)
        homing = [self._send_home(flat(each)) for each in far]
        near = self._attention.source_gradients(dh, saved, dscore, 0, num_own)
        for each, out in zip(homing, near, strict=True):
            self._add_home(each, flat(out))
        return *near, ds_dst

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the own vertices, added up over the ranks, in place."""
        allreduce_sum(self.comm, sums, "sums over vertices")
        return sums

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        received = buffers.empty((self.num_halo, x.shape[1]), _dtype(x))
        arriving = self._fetch(x, received)
        width = x.shape[1] * (2 if self_row == BESIDE else 1)
        dtype = x.dtype if isinstance(x, np.ndarray) else np.float32
        out = buffers.empty((self.num_own, width), dtype)
        self.local.multiply(x, self_row, out)
        arriving.wait()
        self.halo.multiply(received, ONTO, out)
        return out

    def _product_adjoint(self, dh: np.ndarray, self_row: int) -> np.ndarray:
        width = dh.shape[1] // (2 if self_row == BESIDE else 1)
        far = buffers.empty((self.num_halo, width), dh.dtype)
        self.halo.multiply_adjoint(dh, WITHOUT, far)
        homing = self._send_home(far)
        out = buffers.empty((self.num_own, width), dh.dtype)
        self.local.multiply_adjoint(dh, self_row, out)
        self._add_home(homing, out)
        return out

    def _fetch(self, x: Matrix, out: np.ndarray) -> Posted[np.ndarray]:
        """Begin to fetch the halo's rows of x into `out`; what others need is copied now."""
        rows = buffers.empty((len(self.exchange.send_rows), x.shape[1]), out.dtype)
        if isinstance(x, Rows):
            chosen = Rows(x.address[self.exchange.send_rows], x.like)
        else:
            x = np.ascontiguousarray(x)
            step = self.exchange.send_rows.astype(np.uint64) * np.uint64(x.strides[0])
            chosen = Rows(np.uint64(x.ctypes.data) + step, x[:0])
        copy_rows(chosen, rows)
        return self.courier.post(lambda: self.exchange.send(rows, out))

    def _send_home(self, far: np.ndarray) -> Posted[np.ndarray]:
        """Begin to send gradients of the halo's rows to their owners."""
        home = buffers.empty((len(self.exchange.send_rows), far.shape[1]), far.dtype)
        return self.courier.post(lambda: self.exchange.send_back(far, home))

    def _add_home(self, homing: Posted[np.ndarray], out: np.ndarray) -> None:
        """out[v] += the gradients of own row v that other ranks sent, in the order of the ranks."""
        indptr, places = self._homeward
        spmm(indptr, places, NO_WEIGHTS, UNWEIGHTED, homing.wait(), ONTO, out)

    @cached_property
    def _homeward(self) -> tuple[np.ndarray, np.ndarray]:
        """CSR by own row: where in the rows that come home its gradients are."""
        rows = self.exchange.send_rows
        indptr = np.zeros(self.num_own + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=self.num_own), out=indptr[1:])
        return indptr, np.argsort(rows, kind="stable").astype(np.int32)


class Part:
    """The edges whose sources are own, or are the halo's: a weighted CSR and its transpose."""

    def __init__(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        weight: np.ndarray,
        per: int,
        num_sources: int,
        *,
        symmetric: bool,
    ):
        """As `kernels.spmm.spmm` takes them; symmetric: the matrix of the edges is."""
        self.edges, self.weight, self.per = (indptr, indices), weight, per
        self.num_targets, self.num_sources = len(indptr) - 1, num_sources
        self.symmetric = symmetric

    def multiply(self, x: Matrix, self_row: int, out: np.ndarray) -> None:
        """As `kernels.spmm.spmm`."""
        spmm(*self.edges, self.weight, self.per, x, self_row, out)

    def multiply_adjoint(self, dy: np.ndarray, self_row: int, out: np.ndarray) -> None:
        """As `operators.products.multiply_adjoint`."""
        multiply_adjoint(self.transposed, self.per, dy, self_row, out)

    @cached_property
    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """indptr, targets and weight of the edges by source."""
        if self.symmetric:
            return *self.edges, self.weight
        num_edges = len(self.edges[1])
        indptr = np.empty(self.num_sources + 1, np.int64)
        rows, edge = np.empty(num_edges, np.int32), np.empty(num_edges, np.int64)
        transpose_csr(*self.edges, indptr, rows, edge)
        return indptr, rows, self.weight[edge] if self.per == PER_EDGE else self.weight


def _split(
    matrix: tuple[np.ndarray, np.ndarray, np.ndarray, int],
    num_own: int,
    num_halo: int,
    symmetric: bool,
) -> tuple[Part, Part]:
    """The edges from own rows, and those from the halo's rows num_own, num_own + 1, ..."""
    indptr, indices, weight, per = matrix
    near = indices < num_own
    before = np.zeros(len(indices) + 1, np.int64)
    np.cumsum(near, out=before[1:])
    near_indptr = before[indptr]
    weights = (weight[near], weight[~near]) if per == PER_EDGE else (weight, weight)
    return (
        Part(near_indptr, indices[near], weights[0], per, num_own, symmetric=symmetric),
        Part(
            indptr - near_indptr,
            indices[~near] - np.int32(num_own),
            weights[1],
            per,
            num_halo,
            symmetric=False,
        ),
    )


def flat(x: np.ndarray) -> np.ndarray:
    """(n, ...) -> (n, d), a view."""
    return x.reshape(len(x), prod(x.shape[1:]))


def _dtype(x: Matrix) -> np.dtype:
    """What a row of x holds: floats, or the bits of halves."""
    return x.dtype if isinstance(x, np.ndarray) else x.like.dtype
