"""A score: its name, its value, and which way is better."""

import math
from typing import NamedTuple

LOWER_IS_BETTER = ("rmse", "mae")


class Score(NamedTuple):
    """A number that tells how good predictions are; nan where no vertex counts."""

    name: str
    value: float

    @property
    def higher_is_better(self) -> bool:
        """Which way is better."""
        return higher_is_better(self.name)

    def is_better_than(self, other: float | None) -> bool:
        """Whether it is better than another value of this score, or than None; nan always is."""
        if other is None or math.isnan(self.value):
            return True
        return self.value > other if self.higher_is_better else self.value < other


def higher_is_better(name: str) -> bool:
    """Which way a score of that name is better."""
    return name not in LOWER_IS_BETTER
