"""What a rank keeps of a run when others are lost, and how those that are left agree on it."""

from dataclasses import dataclass

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.comm.step_sum import is_finite
from batchgnn.run.training_state import TrainingState
from batchgnn.store.mode_state import ModeState


@dataclass
class Kept:
    """What this rank has of a run, apart from the graph.

    parameters  (n,), after the last mean, and the steps that followed
    weight      of them in the mean
    before_end  the state when the last epoch was trained, and not ended; None: none was
    """

    state: TrainingState
    before_end: TrainingState | None
    parameters: np.ndarray
    of_mode: ModeState
    weight: float

    @property
    def num_means(self) -> int:
        """How many epochs' parameters were averaged."""
        return int(self.of_mode.scalars["rounds"])

    def end_epoch(self, comm: Comm, said: list[tuple[int, int]]) -> None:
        """Make it that of a rank whose epoch is trained and averaged, and not ended; collective.

        A rank may have left the mean that another was still in, or have begun the next epoch: the
        parameters are those of the ranks that have the mean and no step after it; where there are
        none no rank has the mean, and all are averaged.
        said: of all ranks, how many means they know of, and in which epoch they are
        """
        epoch = min(each for _, each in said)
        some_are_there = any(means == each + 1 for means, each in said)
        is_there = self.num_means == self.state.epoch + 1
        average(comm, self.parameters, self.weight * (is_there or not some_are_there))
        if self.before_end is not None and self.before_end.epoch == epoch:
            self.state = self.before_end
        self.of_mode.scalars["rounds"] = epoch + 1


def average(comm: Comm, parameters: np.ndarray, weight: float) -> None:
    """The mean over ranks, in place, by weights; what is not finite does not count; collective."""
    weight *= is_finite(parameters)
    values = parameters * weight if weight else np.zeros_like(parameters)
    message = np.append(values, parameters.dtype.type(weight))
    allreduce_sum(comm, message, "mean of those left")
    if message[-1]:
        np.divide(message[:-1], message[-1], out=parameters)
