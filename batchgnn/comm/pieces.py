"""Large messages in pieces, few of them on their way at a time, so that small messages get through.

A piece is above every MPI's eager limit: its data leave when the receiver asks for them. What the
receivers ask for bounds what lies in the queues of the network, which all that is sent meanwhile,
such as the sum of a gradient, has to wait behind.
"""

import time
from collections.abc import Iterator

import numpy as np
from mpi4py import MPI

PIECE_BYTES = 256 << 10
ASKED = 8
"Pieces that a rank asks for at a time, of all other ranks together; at least one of each."
OFFERED = 4
"Pieces that a rank offers to each other rank at a time."
SPINS = 200
POLL_S = 50e-6


class Patience:
    """A short spin, then sleep between polls: a blocking wait would keep a core busy that another
    thread of this rank could compute on.
    """

    def __init__(self) -> None:
        self.spins = 0

    def wait(self) -> None:
        """Before polling again."""
        self.spins += 1
        if self.spins > SPINS:
            time.sleep(POLL_S)


def finish(requests: list) -> None:
    """Wait for all requests."""
    patience = Patience()
    while not MPI.Request.Testall(requests):
        patience.wait()


def move(comm, sends: dict[int, np.ndarray], receives: dict[int, np.ndarray]) -> None:
    """Send each rank its rows and receive each rank's; collective over the ranks that are named.

    sends, receives: contiguous (n, ...) arrays by rank; the other rank's array has as many rows.
    """
    asked = max(1, ASKED // max(1, len(receives)))
    lanes = [(_each(comm.Irecv, rows, rank), asked) for rank, rows in receives.items()]
    lanes += [(_each(comm.Isend, rows, rank), OFFERED) for rank, rows in sends.items()]
    pairs = [(next(lane, None), lane) for lane, most in lanes for _ in range(most)]
    running = [(request, lane) for request, lane in pairs if request is not None]
    requests, lane_of = [r for r, _ in running], [lane for _, lane in running]
    patience = Patience()
    while (done := MPI.Request.Testsome(requests)) is not None:
        for k in done:
            requests[k] = next(lane_of[k], MPI.REQUEST_NULL)
        if done:
            patience = Patience()
        else:
            patience.wait()


def _each(start, rows: np.ndarray, rank: int) -> Iterator[MPI.Request]:
    """Starts one piece after the other."""
    row_bytes = max(1, rows[:1].nbytes)
    most = max(1, PIECE_BYTES // row_bytes)
    for begin in range(0, len(rows), most):
        yield start(rows[begin : begin + most], rank)
