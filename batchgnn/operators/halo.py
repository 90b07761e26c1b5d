"""The operator of graph parallelism: each rank has the in-edges of its own vertices.

Rows of sources that other ranks own, the halo, are fetched while the product with own rows runs;
their gradients travel home while the own ones are computed. Every sum is pulled in a fixed order
(own edges, then the halo's; gradients from other ranks in the order of the ranks), so the result
depends neither on the number of threads nor on whether messages and products overlap.
"""

from math import prod

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.courier import Courier, Posted
from batchgnn.comm.exchange import Lanes, RowExchange, allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.graph.block import Block
from batchgnn.kernels.spmm import BESIDE, ONTO, WITHOUT
from batchgnn.nn.dropout import Dropout
from batchgnn.nn.operator import Aggregation, Matrix
from batchgnn.operators.cover import covered
from batchgnn.operators.local import Coefficients, LocalOperator
from batchgnn.operators.part import split
from batchgnn.operators.products import SquareProducts
from batchgnn.operators.sent import SentRows, SentSums
from batchgnn.operators.wire import narrowed


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
        chosen: np.ndarray | None = None,
        wire: np.dtype | None = None,
    ):
        """Split the edges of the own vertices by where their sources are.

        comm: for `total`, which is called between exchanges, by the thread that trains
        block: own vertices, and as sources they and then the rows that `exchange` fetches
        exchange: its communicator is the courier's alone, if that has a thread
        symmetric: an undirected graph: the edges between own vertices are their own transpose
        chosen: bool (h,), which rows of `exchange` travel; of the others, sums for own vertices do
            (`operators.cover`), and the constructor is collective. None: all; attention needs them
        wire: what rows and gradients are rounded to before they travel; attention's are not
        """
        self.wire = wire
        self.comm, self.courier = comm, courier
        self.num_targets = self.num_sources = num_vertices
        self.num_own = block.num_targets
        self.source_ids = self.target_ids = block.ids[: self.num_own]
        self.exchange: Lanes = exchange
        self.sent: SentRows | SentSums = SentRows(exchange.send_rows, self.num_own)
        self.attending = LocalOperator(block, aggregation) if aggregation == "attention" else None
        if self.attending is None:
            matrix = LocalOperator(block, aggregation).matrix()
            self.local, self.halo = split(matrix, self.num_own, exchange.num_received, symmetric)
            del matrix
            if chosen is not None:
                self.halo, self.exchange, self.sent = covered(self.halo, exchange, chosen)
        self.num_halo = self.exchange.num_received

    def prepare(self, adjoint: bool) -> None:
        """Build now what gathering needs, and its adjoint."""
        if self.attending is not None:
            self.attending.prepare(adjoint)
        elif adjoint:
            _ = self.local.transposed, self.halo.transposed
        if adjoint:
            self.sent.prepare()

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
            self.sent.add_home(each.wait(), flat(out))
        return *near, ds_dst

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the own vertices, added up over the ranks, in place."""
        allreduce_sum(self.comm, sums, "sums over vertices")
        return sums

    def _product(self, x: Matrix, self_row: int) -> np.ndarray:
        received = buffers.empty((self.num_halo, x.shape[1]), self.wire or _dtype(x))
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
        homing = self._send_home(narrowed(far, self.wire or far.dtype))
        out = buffers.empty((self.num_own, width), dh.dtype)
        self.local.multiply_adjoint(dh, self_row, out)
        self.sent.add_home(homing.wait(), out)
        return out

    def _fetch(self, x: Matrix, out: np.ndarray) -> Posted[np.ndarray]:
        """Begin to fetch the halo of x into `out`; what others need is packed now."""
        packed = buffers.empty((self.exchange.num_sent, x.shape[1]), _dtype(x))
        self.sent.pack(x, packed)
        rows = narrowed(packed, out.dtype)
        return self.courier.post(lambda: self.exchange.send(rows, out))

    def _send_home(self, far: np.ndarray) -> Posted[np.ndarray]:
        """Begin to send gradients of the halo to their owners."""
        home = buffers.empty((self.exchange.num_sent, far.shape[1]), far.dtype)
        return self.courier.post(lambda: self.exchange.send_back(far, home))


def flat(x: np.ndarray) -> np.ndarray:
    """(n, ...) -> (n, d), a view."""
    return x.reshape(len(x), prod(x.shape[1:]))


def _dtype(x: Matrix) -> np.dtype:
    """What a row of x holds: floats, or the bits of halves."""
    return x.dtype if isinstance(x, np.ndarray) else x.like.dtype
