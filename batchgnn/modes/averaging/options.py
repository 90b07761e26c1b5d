"""Options of mode averaging."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from batchgnn.settings.checks import AT_LEAST_ONE


@dataclass(frozen=True, kw_only=True)
class Trainers:
    """Who trains alone, and when parameters are averaged."""

    FREE: ClassVar = ("time_limit",)

    trainers: Annotated[int | None, AT_LEAST_ONE] = None
    """Groups of ranks that train alone, each on the edges among its own shards. Ranks of one group
    train as those of mode macrobatch do. [default: every rank is one]"""

    round: str = "120s"
    """When the trainers' parameters are averaged, which is the end of an epoch: after so many
    seconds, such as 120s or 5m, whatever each has done by then; or after so many steps of each,
    such as 500steps, which can be repeated, and where all wait for the slowest, at most
    --collective-timeout."""

    time_limit: str | None = None
    """How long to train, such as 4h, in place of --epochs: as many rounds as begin within it."""

    average: Literal["uniform", "edges"] = "uniform"
    "Whether trainers count alike, or by the edges among their shards."
