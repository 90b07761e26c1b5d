"""Options that several modes have."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from batchgnn.settings.checks import NOT_NEGATIVE


@dataclass(frozen=True, kw_only=True)
class Messages:
    """When rows travel."""

    FREE: ClassVar = ("overlap",)

    overlap: bool | None = None
    """Communicate in threads of their own: the rows of the next minibatches, of other ranks'
    vertices or of the next chunk of edges travel while others are multiplied. [default: where ranks
    send each other rows]"""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What happens between the steps of an epoch that has several."""

    FREE: ClassVar = ("checkpoint_every",)

    checkpoint_every: Annotated[int, NOT_NEGATIVE] = 0
    "Optimiser steps between checkpoints inside an epoch; 0 = only at the ends of epochs."
