"""Options of mode temporal."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from batchgnn.settings.checks import AT_LEAST_ONE

DEFAULT_BATCH_SIZE = 600


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How a stream of events is walked."""

    ways: Annotated[tuple[int, int, int] | None, Parameter(consume_multiple=True)] = None
    """Ranks that share each batch, batches trained ahead (1), and copies of the memories that walk
    the stream from other places, all trained by one step; an epoch is then so many traversals.
    [default: all ranks share each batch]"""

    recent: Annotated[int, AT_LEAST_ONE] = 10
    "Most recent events of a vertex that it attends to; all are strictly earlier."

    negatives: Annotated[int, AT_LEAST_ONE] = 1
    "Vertices that an event's target is compared with in training, drawn anew in each epoch."

    eval_negatives: Annotated[int, AT_LEAST_ONE] = 49
    """Vertices that an event's target is ranked among in scores: the same in every run, and never
    the target itself."""

    protocol: Literal["carry", "replay"] = "carry"
    """Memories that scores begin with: carry those that training left, as TGN and DistTGL do, or
    replay the events before with the weights as they are then."""
