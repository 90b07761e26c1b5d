"""Options of mode temporal."""

from dataclasses import dataclass
from typing import Annotated, Literal

from batchgnn.settings.checks import AT_LEAST_ONE

DEFAULT_BATCH_SIZE = 600


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How a stream of events is walked."""

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
