"""What the training loop, evaluation and prediction ask of a mode."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from batchgnn.comm.step_sum import Words


@dataclass(frozen=True)
class StepResult:
    """What one optimiser step did on this rank; sums over own seeds.

    words: what all ranks said beside the gradient
    """

    step: int
    loss_sum: float
    num_seeds: int
    words: Words


class ExactInference(Protocol):
    """The exact model over all vertices; every method is collective."""

    def logits(self) -> np.ndarray:
        """float32 (num_own, num_classes), rows in own order."""

    def rows(self, num_layers: int) -> np.ndarray:
        """Output of the first `num_layers` layers, at least one: (num_own, width)."""


class Mode(Protocol):
    """When things happen in training; every method is collective."""

    optimizer: Any

    @property
    def num_steps(self) -> int:
        """Optimiser steps in an epoch."""

    @property
    def exactness(self) -> str:
        """Whether a step is that of one process on the data as given, and what is not."""

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train the steps of an epoch from `first_step` on; yields after each."""

    def inference(self) -> ExactInference:
        """What evaluates the model between epochs."""

    def counts(self) -> dict[str, float]:
        """What the epoch's line of metrics tells of this mode."""

    def totals(self) -> dict[str, float]:
        """What result.json tells of this mode, over all epochs so far."""
