"""The sum of a step's gradient over the ranks, with the words that travel in the same message."""

from typing import NamedTuple

import numpy as np
from mpi4py import MPI

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.watch import interrupt, trace

NUM_WORDS = 3


class Words(NamedTuple):
    """What the ranks told each other beside a gradient; the same on all of them, but for `own_s`.

    requeue, end  how many ranks were asked to be started again, and to end: `interrupt.asked()`
    own_s, all_s  seconds that this rank computed since the step before, and all ranks together
    """

    requeue: float
    end: float
    own_s: float
    all_s: float


def message_bytes(grad: np.ndarray) -> int:
    """Of what one rank sends to sum a gradient."""
    return grad.nbytes + NUM_WORDS * grad.itemsize


class StepSum:
    """Sums a flat gradient over the ranks of a communicator, and words with it."""

    def __init__(self, comm: MPI.Intracomm, grad: np.ndarray):
        """grad: (n,), summed in place by every call."""
        self.comm, self.grad = comm, grad
        self.message = np.empty(len(grad) + NUM_WORDS, grad.dtype)

    def __call__(self) -> Words:
        """Collective; one rank alone sends nothing."""
        gradient, words = self.message[:-NUM_WORDS], self.message[-NUM_WORDS:]
        words[:] = *interrupt.asked(), trace.computed_s()
        own_s = float(words[-1])
        if self.comm.size > 1:
            gradient[:] = self.grad
            allreduce_sum(self.comm, self.message, "gradient")
            self.grad[:] = gradient
        requeue, end, all_s = words.tolist()
        return Words(requeue, end, own_s, all_s)
