"""A bell that one rank rings, and all others hear between their steps; nobody waits for it."""

import numpy as np

from batchgnn.comm.mpi import MPI

TAG = 7


class Bell:
    """Rung at most once by a rank between two calls of `settle`, which is collective."""

    def __init__(self, comm: MPI.Intracomm):
        """comm: on which nobody else sends messages with this tag."""
        self.comm = comm
        self.is_rung, self.num_heard = False, 0
        self._nothing = np.empty(0, np.uint8)
        self._sent: list[MPI.Request] = []

    def ring(self) -> None:
        """Let every rank hear it."""
        self.is_rung = True
        others = (rank for rank in range(self.comm.size) if rank != self.comm.rank)
        self._sent = [self.comm.Isend(self._nothing, rank, TAG) for rank in others]

    def is_heard(self) -> bool:
        """Whether a rank has rung since it was settled, as far as this one knows."""
        while self.comm.Iprobe(MPI.ANY_SOURCE, TAG):
            self._hear()
        return self.is_rung or self.num_heard > 0

    def settle(self, num_rung: int) -> None:
        """Hear what is still on its way; num_rung: how many of the ranks have rung."""
        while self.num_heard < num_rung - self.is_rung:
            self._hear()
        MPI.Request.Waitall(self._sent)
        self.is_rung, self.num_heard, self._sent = False, 0, []

    def _hear(self) -> None:
        self.comm.Recv(self._nothing, MPI.ANY_SOURCE, TAG)
        self.num_heard += 1
