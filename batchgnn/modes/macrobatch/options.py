"""Options of mode macrobatch alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Macrobatches:
    """How many minibatches are prepared together."""

    FREE: ClassVar = ("macrobatch", "macrobatch_memory")

    macrobatch: Literal["auto"] | int = "auto"
    """Minibatches whose sampling and feature fetching share one round of communication; auto = as
    many as --macrobatch-memory holds, at most 16."""

    macrobatch_memory: str = "1G"
    "Memory per rank for the macrobatches of --macrobatch auto; one minibatch always fits."
