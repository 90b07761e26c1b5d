"""Options of mode macrobatch alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Macrobatches:
    """How many minibatches are prepared together."""

    FREE: ClassVar = ("macrobatch", "macrobatch_memory", "evaluation_memory")

    macrobatch: Literal["auto"] | int = "auto"
    """Minibatches whose sampling and feature fetching share one round of communication; auto = as
    many as --macrobatch-memory holds, at most 16."""

    macrobatch_memory: str | None = None
    """Memory per rank for the macrobatches of --macrobatch auto, at least that of one minibatch.
    [default: what the rest of the run leaves, 1G at most]"""

    evaluation_memory: str | None = None
    """Memory per rank for a chunk of the exact evaluation, which goes over all vertices.
    [default: what the rest of the run leaves, 256M at most]"""
