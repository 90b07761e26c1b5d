"""What a round of mode averaging is: some steps of each trainer, or some seconds."""

import math
import re
from dataclasses import dataclass

from batchgnn.base.errors import ConfigError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Round:
    """One of the two is None."""

    seconds: float | None = None
    steps: int | None = None

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.seconds is None else f"{self.seconds:g} s"


def parse_round(text: str) -> Round:
    """`120s`, `5m` or `500steps`; raises ConfigError."""
    if found := re.fullmatch(r"([1-9]\d*) ?steps?", text.strip()):
        return Round(steps=int(found[1]))
    try:
        return Round(seconds=parse_seconds(text, "--round"))
    except ConfigError as error:
        raise ConfigError(
            f"--round {text}: give seconds, such as 120s or 5m, or steps, such as 500steps."
        ) from error


def parse_seconds(text: str, option: str) -> float:
    """`90s`, `2.5m` or `4h`; raises ConfigError, which names the option."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smh])", text.strip())
    if found is None or not float(found[1]):
        raise ConfigError(f"{option} {text}: give seconds, minutes or hours: 90s, 30m or 4h.")
    return float(found[1]) * UNITS[found[2]]


def rounds_within(limit: str, each: Round) -> int:
    """How many rounds begin within a time; raises ConfigError where they are of steps."""
    if each.seconds is None:
        raise ConfigError(
            f"--time-limit {limit} counts rounds of seconds, and --round is {each}: give --epochs."
        )
    return math.ceil(parse_seconds(limit, "--time-limit") / each.seconds)
