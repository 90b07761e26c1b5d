"""All-to-all exchanges of uneven parts: parts once, or rows by a plan that is used both ways.

Every function and method here is collective: all ranks of the communicator call it, in one order.
Only ranks that have something for each other exchange messages.
"""

from collections.abc import Iterator
from copy import copy
from typing import Protocol, Self

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.mpi import MPI
from batchgnn.comm.pieces import OFFERED, cut, finish, move, rows_of_a_piece
from batchgnn.watch import trace


class RowSource(Protocol):
    """Anything that can copy its rows out: an array in memory, or the shards of a rank."""

    width: int
    dtype: np.dtype

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = row rows[i]; out is (n, width)."""


class ArrayRows:
    """The rows of an (n, d) array as a `RowSource`."""

    def __init__(self, array: np.ndarray):
        self.array, self.width, self.dtype = array, array.shape[1], array.dtype

    def take(self, rows: np.ndarray, out: np.ndarray) -> None:
        """out[i] = array[rows[i]]."""
        np.take(self.array, rows, axis=0, out=out, mode="clip")


def starts(counts: np.ndarray) -> np.ndarray:
    """Where each part begins, and the end of the last: int64 (len(counts) + 1,)."""
    out = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    return out


def exchange_counts(comm: MPI.Intracomm, counts: np.ndarray, name: str) -> np.ndarray:
    """Send row p of `counts`, int64 (P, ...), to rank p; returns what rank p sent, in row p."""
    counts = np.ascontiguousarray(counts)
    received = np.empty_like(counts)
    if comm.size == 1:
        return counts.copy()
    sent_bytes = counts.nbytes - counts[comm.rank].nbytes
    with trace.collective(f"{name} counts", comm.name, sent_bytes):
        finish([comm.Ialltoall(counts, received)])
    return received


def exchange_parts(
    comm: MPI.Intracomm,
    src: np.ndarray,
    src_counts: np.ndarray,
    dst: np.ndarray,
    dst_counts: np.ndarray,
    name: str,
) -> None:
    """Move the parts of `src` (rows grouped by receiver) into `dst` (rows grouped by sender).

    src, dst: (n, ...) contiguous arrays of one dtype and row shape; counts: int64 (P,), in rows.
    The part that a rank has for itself is copied without a message.
    """
    me, size = comm.rank, comm.size
    src_start, dst_start = starts(src_counts), starts(dst_counts)
    dst[dst_start[me] : dst_start[me + 1]] = src[src_start[me] : src_start[me + 1]]
    if size == 1:
        return
    sends = _by_rank(src, src_start, me)
    with trace.collective(name, comm.name, sum(part.nbytes for part in sends.values())):
        pieces = {rank: cut(part) for rank, part in sends.items()}
        move(comm, pieces, _by_rank(dst, dst_start, me))


def gather_rows(comm: MPI.Intracomm, mine: np.ndarray, counts: np.ndarray, name: str) -> np.ndarray:
    """The rows (n_p, ...) of all ranks p, one after the other, on every rank.

    counts: int64 (P,), how many rows each rank has, known to all
    """
    if comm.size == 1:
        return mine
    out = np.empty((int(counts.sum()), *mine.shape[1:]), mine.dtype)
    sent = np.concatenate([mine] * comm.size)
    exchange_parts(comm, sent, np.full(comm.size, len(mine)), out, counts, name)
    return out


def _by_rank(array: np.ndarray, start: np.ndarray, me: int) -> dict[int, np.ndarray]:
    """The parts that are another rank's and not empty; the next rank's first."""
    size = len(start) - 1
    ranks = [(me + step) % size for step in range(1, size)]
    parts = {rank: array[start[rank] : start[rank + 1]] for rank in ranks}
    return {rank: part for rank, part in parts.items() if len(part)}


class Lanes:
    """Rows between ranks, so many from one to another as was found out once: there, and back."""

    def __init__(
        self, comm: MPI.Intracomm, recv_counts: np.ndarray, send_counts: np.ndarray, name: str
    ):
        """recv_counts, send_counts: int64 (P,), rows that come from each rank, and go there."""
        self.comm, self.name = comm, name
        self.recv_counts, self.send_counts = recv_counts, send_counts

    def over(self, comm: MPI.Intracomm) -> Self:
        """The same plan, whose rows travel on another communicator of the same ranks."""
        moved = copy(self)
        moved.comm = comm
        return moved

    @property
    def num_received(self) -> int:
        """Rows that come in."""
        return int(self.recv_counts.sum())

    @property
    def num_sent(self) -> int:
        """Rows that go out."""
        return int(self.send_counts.sum())

    def send(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """There: rows (num_sent, d) go out, by receiver; out (num_received, d) comes in."""
        exchange_parts(self.comm, rows, self.send_counts, out, self.recv_counts, self.name)
        return out

    def send_back(self, dy: np.ndarray, home: np.ndarray) -> np.ndarray:
        """Back: dy (num_received, d) goes out; home (num_sent, d) comes in."""
        name = f"{self.name} adjoint"
        exchange_parts(self.comm, dy, self.recv_counts, home, self.send_counts, name)
        return home


class RowExchange(Lanes):
    """Fetch rows that other ranks own; send their gradients home the same way.

    `forward` and `backward` are adjoint: <forward(x), y> = <x, backward(y)>, summed over ranks.
    """

    def __init__(
        self, comm: MPI.Intracomm, wanted: np.ndarray, counts: np.ndarray, name: str = "rows"
    ):
        """Plan the exchange: two rounds of messages.

        wanted: integers (sum of counts,), rows of the owners' matrices, grouped by owner
        counts: int64 (P,), how many of them each rank owns
        """
        counts = np.asarray(counts, np.int64)
        super().__init__(comm, counts, exchange_counts(comm, counts, f"{name} ids"), name)
        self.send_rows = np.empty(self.num_sent, wanted.dtype)
        exchange_parts(comm, wanted, counts, self.send_rows, self.send_counts, f"{name} ids")

    def forward(self, source: RowSource, out: np.ndarray | None = None) -> np.ndarray:
        """The wanted rows, (k, width), in the order of `wanted`."""
        if out is None:
            out = buffers.empty((self.num_received, source.width), source.dtype)
        me, start, end = self.comm.rank, starts(self.send_counts), starts(self.recv_counts)
        source.take(self.send_rows[start[me] : start[me + 1]], out[end[me] : end[me + 1]])
        if self.comm.size > 1:
            rows = _by_rank(self.send_rows, start, me)
            sent_bytes = sum(map(len, rows.values())) * source.width * source.dtype.itemsize
            with trace.collective(self.name, self.comm.name, sent_bytes):
                sends = {rank: _gathered(source, rows[rank]) for rank in rows}
                move(self.comm, sends, _by_rank(out, end, me))
        return out

    def backward(self, dy: np.ndarray, num_rows: int) -> np.ndarray:
        """(k, d) -> (num_rows, d): sum of the gradients of each own row, in fixed rank order."""
        home = np.empty((len(self.send_rows), dy.shape[1]), dy.dtype)
        self.send_back(dy, home)
        dx = np.zeros((num_rows, dy.shape[1]), dy.dtype)
        np.add.at(dx, self.send_rows, home)
        return dx


def _gathered(source: RowSource, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The pieces of the rows, copied out a few pieces at a time."""
    most = OFFERED * rows_of_a_piece(source.width * source.dtype.itemsize)
    for begin in range(0, len(rows), most):
        chosen = rows[begin : begin + most]
        out = buffers.empty((len(chosen), source.width), source.dtype)
        source.take(chosen, out)
        yield from cut(out)


def allreduce_sum(comm: MPI.Intracomm, array: np.ndarray, name: str) -> None:
    """Sum a contiguous array over the ranks, in place."""
    if comm.size > 1:
        with trace.collective(name, comm.name, array.nbytes):
            finish([comm.Iallreduce(MPI.IN_PLACE, array, op=MPI.SUM)])


def allreduce_max(comm: MPI.Intracomm, value: int, name: str) -> int:
    """The largest `value` of any rank."""
    largest = np.array([value], np.int64)
    if comm.size > 1:
        with trace.collective(name, comm.name, largest.nbytes):
            comm.Allreduce(MPI.IN_PLACE, largest, op=MPI.MAX)
    return int(largest[0])
