"""What the training loop asks of a mode."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from batchgnn.comm.step_sum import Words
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Inference


@dataclass(frozen=True)
class StepResult:
    """What one optimiser step did on this rank; sums over own seeds.

    words: what the ranks told each other beside the gradient
    """

    step: int
    loss_sum: float
    num_seeds: int
    words: Words


@dataclass(frozen=True)
class Earlier:
    """Exact scores of what the parameters were after an epoch, from 1, and these parameters."""

    epoch: int
    scores: Mapping[str, list[Score]]
    parameters: np.ndarray


class Mode(Protocol):
    """When things happen in training; every method is collective.

    Between epochs the parameters are the same on every rank, in every mode: checkpoints, evaluation
    and export know of no mode. What an epoch is, the mode says.
    """

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the steps of an epoch from `first_step` on; yields after each."""

    def inference(self) -> Inference:
        """The exact model by what this mode has in memory."""

    def evaluate(self) -> dict[str, list[Score]] | list[Earlier]:
        """Exact scores of the splits "val" and "test", the one that chooses first.

        Of the present parameters; or of those after earlier epochs too, as far as they have become
        known since they were asked for last, the newest at the end.
        """

    def state(self) -> ModeState:
        """What a checkpoint keeps of the mode beside the parameters."""

    def load(self, state: ModeState) -> None:
        """Go on from what `state` gave, on any number of ranks."""

    def counts(self) -> dict[str, float]:
        """What the epoch's line of metrics tells of this mode."""

    def totals(self) -> Mapping[str, object]:
        """What result.json tells of this mode, over all epochs so far."""
