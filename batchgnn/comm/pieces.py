"""Large messages in pieces, few of them on their way at a time, so that small messages get through.

A piece is above every MPI's eager limit: its data leave when the receiver asks for them. What the
receivers ask for bounds what lies in the queues of the network, which all that is sent meanwhile,
such as the sum of a gradient, has to wait behind.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np

from batchgnn.comm.mpi import MPI

PIECE_BYTES = 256 << 10
ASKED = 8
"Pieces that a rank asks for at a time, of all other ranks together; at least one of each."
OFFERED = 4
"Pieces that a rank offers to each other rank at a time."
SPINS = 200
LEAST_SLEEP_S, MOST_SLEEP_S = 200e-6, 1e-3


class Patience:
    """A short spin, then sleep between polls, for an eighth of the time that nothing has come.

    A blocking wait would keep a core busy that another thread of this rank could compute on.
    """

    def __init__(self) -> None:
        self.spins, self.since = SPINS, time.perf_counter()

    def wait(self) -> None:
        """Before polling again."""
        if self.spins:
            self.spins -= 1
            return
        waited = time.perf_counter() - self.since
        time.sleep(min(max(waited / 8, LEAST_SLEEP_S), MOST_SLEEP_S))

    def renew(self) -> None:
        """Something has come."""
        self.since = time.perf_counter()


def finish(requests: list[MPI.Request]) -> None:
    """Wait for all requests."""
    patience = Patience()
    while not MPI.Request.Testall(requests):
        patience.wait()


def move(
    comm: MPI.Intracomm,
    sends: Mapping[int, Iterator[np.ndarray]],
    receives: Mapping[int, np.ndarray],
) -> None:
    """Send each rank its rows and receive each rank's; collective over the ranks that are named.

    sends: by rank, the pieces that `cut` would make of its rows, made when they are offered
    receives: contiguous (n, ...) arrays by rank, overwritten
    """
    asked = max(1, ASKED // max(1, len(receives)))
    lanes = [(_started(comm.Irecv, cut(rows), rank), asked) for rank, rows in receives.items()]
    lanes += [(_started(comm.Isend, pieces, rank), OFFERED) for rank, pieces in sends.items()]
    running = [(request, lane) for lane, most in lanes for request in islice(lane, most)]
    requests, lane_of = [request for request, _ in running], [lane for _, lane in running]
    patience = Patience()
    while (done := MPI.Request.Testsome(requests)) is not None:
        for k in done:
            requests[k] = next(lane_of[k], MPI.REQUEST_NULL)
        if done:
            patience.renew()
        else:
            patience.wait()


def cut(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive rows of a contiguous array in pieces of at most PIECE_BYTES, or of one row."""
    most = rows_of_a_piece(rows[:1].nbytes)
    return (rows[begin : begin + most] for begin in range(0, len(rows), most))


def rows_of_a_piece(row_bytes: int) -> int:
    """How many rows of so many bytes are a piece."""
    return max(1, PIECE_BYTES // max(1, row_bytes))


def _started(
    start: Callable[[np.ndarray, int], MPI.Request], pieces: Iterator[np.ndarray], rank: int
) -> Iterator[MPI.Request]:
    return (start(piece, rank) for piece in pieces)
