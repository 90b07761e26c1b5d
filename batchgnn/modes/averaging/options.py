"""Options of mode averaging."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from batchgnn.settings.checks import AT_LEAST_ONE

SERVER_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Trainers:
    """Who trains alone, and when parameters are averaged."""

    FREE: ClassVar = ("time_limit",)

    trainers: Annotated[int | None, AT_LEAST_ONE] = None
    """Groups of ranks that train alone, each on the edges among its own shards. Ranks of one group
    train as those of mode macrobatch do. [default: every rank is one; but the last, with
    --evaluator]"""

    evaluator: bool = False
    """As many ranks as a trainer has, the last ones, do not train: they evaluate the last mean
    while the trainers go on, and hold no round up. Scores are told when they are known."""

    round: str = "120s"
    """When the trainers' parameters are averaged, which is the end of an epoch: after so many
    seconds, such as 120s or 5m, whatever each has done by then; or after so many steps of each,
    such as 500steps, which can be repeated, and where all wait for the slowest, at most
    --collective-timeout."""

    time_limit: str | None = None
    """How long to train, such as 4h, in place of --epochs: as many rounds as begin within it."""

    average: Literal["uniform", "edges", "llcg"] = "uniform"
    """Whether trainers count alike, or by the edges among their shards; llcg: alike, and then all
    ranks together take steps on the whole graph."""

    server_steps: Annotated[int | None, AT_LEAST_ONE] = None
    """With --average llcg: how many steps on the whole graph follow each mean, of --batch-size
    seeds over all ranks. [default: 2]"""

    @property
    def num_server_steps(self) -> int:
        """Steps on the whole graph after a mean."""
        return (self.server_steps or SERVER_STEPS) if self.average == "llcg" else 0
