"""How far a training run is: what a checkpoint holds besides parameters and moments."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batchgnn.store.checkpoint import Checkpoint


@dataclass
class TrainingState:
    """Where training stands. `loss_sum` and `num_seeds` are this rank's share of the epoch so far.

    epoch, step        the next step to train
    seconds            of the current epoch, in earlier parts of it
    best_*             at the best validation score so far; best_epoch counts from 1, 0 = none
    stale_evaluations  evaluations since the best
    """

    best_parameters: np.ndarray
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_seeds: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_val: float = -math.inf
    best_test: float = math.nan
    stale_evaluations: int = 0
    epoch_seconds: list[float] = field(default_factory=list)

    def end_epoch(self, seconds: float) -> None:
        """The next step is the first of the next epoch."""
        self.epoch_seconds.append(round(seconds, 6))
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.num_seeds, self.seconds = 0.0, 0, 0.0

    def offer(self, val: float, test: float, parameters: np.ndarray) -> None:
        """Keep the parameters if they are better; without validation vertices the last are."""
        if val > self.best_val or math.isnan(val):
            self.best_epoch, self.best_val, self.best_test = self.epoch + 1, val, test
            self.best_parameters[:] = parameters
            self.stale_evaluations = 0
        else:
            self.stale_evaluations += 1

    def to_dict(self, *, loss_sum: float, num_seeds: int) -> dict[str, Any]:
        """Scalars for a checkpoint, with the sums over all ranks."""
        values = {k: v for k, v in vars(self).items() if k != "best_parameters"}
        values |= {"loss_sum": float(loss_sum), "num_seeds": num_seeds}
        return {**values, "epoch_seconds": json.dumps(self.epoch_seconds)}

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, keep_sums: bool) -> "TrainingState":
        """The state that was saved; the epoch's sums go to the rank with `keep_sums`."""
        values = dict(checkpoint.progress)
        values.pop("optimizer_steps")
        values["epoch_seconds"] = json.loads(values["epoch_seconds"])
        if not keep_sums:
            values |= {"loss_sum": 0.0, "num_seeds": 0}
        return cls(best_parameters=checkpoint.arrays["best_parameters"], **values)
