"""How fast a run trains and how much of it is left: on the bar, after each epoch, in `status`."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchgnn.run.training_state import TrainingState

PER_SECOND = "_per_second"
LAST = 3
"Epochs that those to come are taken to be as long as."
LONG_S = 300.0
"So long a first epoch says something of the others, although it compiles, up to a minute."


class Outlook:
    """What the first rank says of a run under way."""

    def __init__(self, epochs: int, unit: str):
        """unit: what a seed is called, as `Task.unit` says."""
        self.epochs, self.key = epochs, f"{unit}s{PER_SECOND}"
        self.lines: list[Mapping[str, Any]] = []

    def rate(self, num_seeds: float, seconds: float) -> dict[str, float]:
        """Seeds a second, as an epoch's line of metrics has them."""
        return {self.key: round(num_seeds / max(seconds, 1e-9), 1)}

    def add(self, line: Mapping[str, Any]) -> None:
        """An epoch has ended."""
        self.lines = [*self.lines, line][-LAST:]

    def after(self, epochs_done: int) -> str:
        """How long the epochs left will take."""
        return say_left(seconds_left(self.lines, self.epochs, epochs_done))

    def within(self, state: TrainingState, num_steps: int) -> str:
        """Of the epoch under way, its loss; of the last, its rate; how long all others will take.

        num_steps: of the epoch, 0 where that is not known
        """
        done, lines, said = state.step / num_steps if num_steps else 0.0, self.lines, ""
        if state.num_seeds:
            said = f"loss {state.loss_sum / state.num_seeds:.4f}"
        rate = say_rate(lines[-1]) if lines else ""
        if done and state.seconds >= LONG_S:
            lines = lines or [{"epoch": 1, "seconds": state.seconds / done}]
        left = seconds_left(lines, self.epochs, state.epoch + done)
        return "  ".join(filter(None, [said, rate, say_left(left)]))


def seconds_left(
    lines: Sequence[Mapping[str, Any]], epochs: int, epochs_done: float
) -> float | None:
    """Of the epochs that are left, if they are as long as the last ones; None where none is known.

    The first, which also compiles, counts only where it is alone, and long.
    lines: of metrics.jsonl; epochs_done: with the part of the one under way
    """
    last = [line for line in lines[-LAST:] if line["epoch"] > 1]
    last = last or [line for line in lines[-1:] if line["seconds"] >= LONG_S]
    if not last:
        return None
    each = sum(line["seconds"] + line.get("evaluate_seconds", 0.0) for line in last) / len(last)
    return max(0.0, each * (epochs - epochs_done))


def say_left(seconds: float | None) -> str:
    """`about 3 min left`; nothing where none are, or where it is not known."""
    if not seconds:
        return ""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s left"
    said = f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
    return f"about {said} left"


def say_rate(line: Mapping[str, Any]) -> str:
    """`12,345 seeds/s`, of an epoch's line of metrics; nothing where it has none."""
    for key, value in line.items():
        if key.endswith(PER_SECOND):
            return f"{value:,.{0 if value >= 10 else 1}f} {key.removesuffix(PER_SECOND)}/s"
    return ""
