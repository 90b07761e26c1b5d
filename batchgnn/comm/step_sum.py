"""The sum of a step's gradient over the ranks, with the words that travel in the same message."""

import math
from typing import NamedTuple

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.mpi import MPI
from batchgnn.watch import interrupt, trace

NUM_WORDS = 4


class Words(NamedTuple):
    """What the ranks told each other beside a gradient; the same on all of them, but for `own_s`.

    requeue, end  how many ranks were asked to be started again, and to end: `interrupt.asked()`
    own_s, all_s  seconds that this rank computed since the step before, and all ranks together
    num_bad       how many ranks' losses are not finite
    is_finite     whether all ranks' losses are, and the summed gradient
    """

    requeue: float
    end: float
    own_s: float
    all_s: float
    num_bad: float
    is_finite: bool


def message_bytes(grad: np.ndarray) -> int:
    """Of what one rank sends to sum a gradient."""
    return grad.nbytes + NUM_WORDS * grad.itemsize


class StepSum:
    """Sums a flat gradient over the ranks of a communicator, and words with it."""

    def __init__(self, comm: MPI.Intracomm, grad: np.ndarray):
        """grad: (n,), summed in place by every call."""
        self.comm, self.grad = comm, grad
        self.message = np.empty(len(grad) + NUM_WORDS, grad.dtype)

    def __call__(self, loss: float) -> Words:
        """Sum the gradient. Collective; one rank alone sends nothing.

        loss: of this rank's seeds; whether it is finite is told to all
        """
        gradient, words = self.message[:-NUM_WORDS], self.message[-NUM_WORDS:]
        words[:] = *interrupt.asked(), trace.computed_s(), not math.isfinite(loss)
        own_s = float(words[2])
        if self.comm.size > 1:
            gradient[:] = self.grad
            allreduce_sum(self.comm, self.message, "gradient")
            self.grad[:] = gradient
        requeue, end, all_s, num_bad = words.tolist()
        return Words(requeue, end, own_s, all_s, num_bad, not num_bad and is_finite(self.grad))


def is_finite(flat: np.ndarray) -> bool:
    """Whether no element of a flat array is nan or infinite; one pass at the speed of memory."""
    with np.errstate(all="ignore"):
        square = np.dot(flat, flat)
    return bool(np.isfinite(square) or np.isfinite(flat).all())  # finite squares may overflow
