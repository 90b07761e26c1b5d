"""Options of mode tensor alone."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from batchgnn.settings.checks import AT_LEAST_ONE

MOST_CHUNKS = 1 << 14
"More are of no use: each would have a few rows."


@dataclass(frozen=True, kw_only=True)
class Slices:
    """How columns are dealt, and edges walked."""

    FREE: ClassVar = ("chunks", "tensor_ways")

    chunks: Literal["auto"] | int = "auto"
    """The edges are walked in so many chunks, and rows of the next and results of the last one
    travel meanwhile; auto = by the size of messages, and so many that the edges fit into --memory a
    chunk at a time where all of them do not. Not with --tensor-ways."""

    tensor_ways: Annotated[int | None, AT_LEAST_ONE] = None
    """Groups of so many ranks slice the columns among themselves, and the shards are dealt to the
    groups, which exchange a halo; a divisor of the number of ranks. Let a group be on one node.
    [default: all ranks are one group]"""
