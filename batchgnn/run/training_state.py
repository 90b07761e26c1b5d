"""How far a training run is: what a checkpoint holds besides arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_origin

import numpy as np

from batchgnn.run.run_files import NUMBER, checked, damaged
from batchgnn.tasks.score import Score

SPLITS = ("val_", "test_")
"Beginnings of the names of scores."


@dataclass
class TrainingState:
    """Where training stands. `loss_sum` and `num_seeds` are this rank's share of the epoch so far.

    epoch, step        the next step to train
    seconds            of the current epoch, in earlier parts of it
    best               scores at the best validation score so far, `val_NAME` and `test_NAME`
    best_epoch         of them, from 1; 0 = none yet
    stale_evaluations  evaluations since the best
    """

    best_parameters: np.ndarray
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_seeds: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stale_evaluations: int = 0
    epoch_seconds: list[float] = field(default_factory=list)

    def copy(self) -> "TrainingState":
        """The state as it is now; the best parameters are shared."""
        return replace(self, epoch_seconds=[*self.epoch_seconds])

    def end_epoch(self, seconds: float) -> None:
        """The next step is the first of the next epoch."""
        self.epoch_seconds.append(round(seconds, 6))
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.num_seeds, self.seconds = 0.0, 0, 0.0

    def offer(
        self,
        scores: Mapping[str, list[Score]],
        parameters: np.ndarray,
        epoch: int | None = None,
    ) -> bool:
        """Keep the parameters if they are better; without validation vertices the last are.

        Whether they were.
        scores: of "val" and "test", the one that chooses first
        epoch: after which, from 1; by default the present one
        """
        chosen = scores["val"][0]
        if chosen.is_better_than(self.best.get(f"val_{chosen.name}")):
            self.best_epoch = self.epoch + 1 if epoch is None else epoch
            self.best = by_key(scores)
            self.best_parameters[:] = parameters
            self.stale_evaluations = 0
            return True
        self.stale_evaluations += 1
        return False

    def progress(self, *, loss_sum: float, num_seeds: int) -> dict[str, Any]:
        """Values for a checkpoint, with the sums over all ranks."""
        values = {k: v for k, v in vars(self).items() if k != "best_parameters"}
        return values | {"loss_sum": float(loss_sum), "num_seeds": num_seeds}

    @classmethod
    def resumed(
        cls, progress: Mapping[str, Any], best_parameters: np.ndarray, *, keep_sums: bool
    ) -> "TrainingState":
        """The state that was saved; the epoch's sums go to the rank with `keep_sums`."""
        values = dict(progress)
        if not keep_sums:
            values |= {"loss_sum": 0.0, "num_seeds": 0}
        return cls(best_parameters=best_parameters, **values)


def require_progress(progress: Mapping[str, Any], where: str) -> None:
    """Raise StoreError unless a checkpoint's values are those of `TrainingState.progress`."""
    known: dict[str, Any] = {each.name: each.type for each in fields(TrainingState)}
    del known["best_parameters"]
    if more := sorted(progress.keys() - known):
        raise damaged(where, f"it has {', '.join(more)}, which no training writes")
    kinds = {n: NUMBER if kind is float else get_origin(kind) or kind for n, kind in known.items()}
    checked(dict(progress), kinds, where)
    best, seconds = progress["best"], progress["epoch_seconds"]
    checked(best, dict.fromkeys(best, NUMBER), where)
    scores = {split: {k[len(split) :] for k in best if k.startswith(split)} for split in SPLITS}
    is_whole = bool(best) == (progress["best_epoch"] > 0) and scores["val_"] == scores["test_"]
    if not is_whole or sum(map(len, scores.values())) < len(best):
        raise damaged(where, f"best is {best!r:.60} in epoch {progress['best_epoch']}")
    below = [name for name, value in progress.items() if kinds[name] is int and value < 0]
    if (
        below
        or len(seconds) != progress["epoch"]
        or not all(isinstance(s, NUMBER) for s in seconds)
    ):
        wrong = below[0] if below else "epoch_seconds"
        raise damaged(where, f"{wrong} is {progress[wrong]!r:.60}")


def by_key(scores: Mapping[str, list[Score]]) -> dict[str, float]:
    """Scores as a line of metrics and result.json name them: `val_accuracy`."""
    return {
        f"{split}_{each.name}": each.value for split, all_of in scores.items() for each in all_of
    }
