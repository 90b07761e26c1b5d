"""The mean of the trainers' parameters, with the words that travel in the same message.

Zhu, Reganti, Huang et al., "Simplifying Distributed Neural Network Training on Massive Graphs:
Randomized Partitions Improve Model Aggregation": the unweighted mean; moments stay each trainer's.
"""

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.mpi import MPI
from batchgnn.comm.step_sum import Words, is_finite

NUM_WORDS = 4


def message_bytes(buffer: np.ndarray) -> int:
    """Of what one rank sends to average a buffer."""
    return buffer.nbytes + NUM_WORDS * buffer.itemsize


class RoundMean:
    """Averages a flat buffer over the trainers, each heard through its first rank."""

    def __init__(self, comm: MPI.Intracomm, buffer: np.ndarray, weight: float):
        """buffer: (n,), averaged in place by every call; weight: of this rank, 0 if not heard."""
        self.comm, self.buffer, self.weight = comm, buffer, weight
        self.message = np.empty(len(buffer) + NUM_WORDS, buffer.dtype)

    def __call__(self, own_s: float, *, is_rung: bool) -> tuple[Words, int]:
        """The words of all ranks, and how many rang the bell; collective.

        A trainer whose parameters are not finite is left out: `num_bad` counts them. Whether a rank
        was asked to stop is not among the words: it is asked after the round.
        own_s: seconds that this rank computed in the round
        """
        values, words = self.message[:-NUM_WORDS], self.message[-NUM_WORDS:]
        is_good = is_finite(self.buffer)
        weight = self.weight * is_good
        values[:] = 0
        if weight:
            np.multiply(self.buffer, weight, out=values)
        words[:] = weight, own_s, bool(self.weight) and not is_good, is_rung
        allreduce_sum(self.comm, self.message, "mean of trainers")
        total, all_s, num_bad, num_rung = words.tolist()
        if total:
            np.divide(values, words[0], out=self.buffer)
        return Words(0, 0, own_s, all_s, num_bad, total > 0), round(num_rung)
