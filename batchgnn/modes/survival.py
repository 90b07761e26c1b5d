"""Options of a mode that can go on when a rank is lost."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

from batchgnn.modes.mode import Mode
from batchgnn.settings.checks import POSITIVE
from batchgnn.settings.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Survival:
    """What happens when a rank is lost, or late."""

    FREE: ClassVar = ("on_loss", "redeal", "straggler_deadline")

    on_loss: Literal["abort", "drop"] = "abort"
    """abort: the job ends, to be resumed. drop: the ranks that are left average what they have, and
    go on without it; needs Open MPI 5 and `batchgnn launch`, or `mpirun --with-ft ulfm`, and
    trainers of one rank."""

    redeal: bool = True
    """Deal the shards of a rank that was dropped to those that are left; else nobody trains on
    them, and they count in the scores alone."""

    straggler_deadline: Annotated[float | None, POSITIVE] = None
    """Seconds that trainers wait for a late one: a round of steps ends then with those that it has
    taken; with --on-loss drop one that has not come as long after that, as one that is stopped, is
    ended and dropped. [default: for the second, --collective-timeout]"""


class SurvivingMode(Mode, Protocol):
    """What is asked of a mode that goes on without lost ranks.

    An epoch of it ends with a mean of the ranks' parameters, and between these no rank needs
    another; `rounds` of its state's scalars counts the means.
    """

    @property
    def weight(self) -> float:
        """Of this rank's parameters in the mean."""


def drops(settings: Settings) -> bool:
    """Whether the ranks that are left go on without a lost one."""
    survival = settings.get(Survival)
    return survival is not None and survival.on_loss == "drop"
