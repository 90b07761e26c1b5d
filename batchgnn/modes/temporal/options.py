"""Options of mode temporal."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter

from batchgnn.graph.missing import LOST_UPDATES
from batchgnn.settings.checks import AT_LEAST_ONE, PROBABILITY

DEFAULT_BATCH_SIZE = 600


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How a stream of events is walked."""

    FREE: ClassVar = ("state_rows",)

    ways: Annotated[
        tuple[int | Literal["auto"], ...] | None, Parameter(consume_multiple=True, negative=())
    ] = None
    """Ranks that share each batch; groups of them that train on it in so many steps running, by
    states that were read once and with other negatives; and copies of the memories that walk the
    stream from other places. All are trained by one step, and an epoch is traversals as many as
    groups x copies. auto: as many of each as batches, ranks and memory allow, which is measured.
    [default: all ranks share each batch]"""

    lost_updates: Annotated[float, PROBABILITY] = LOST_UPDATES
    """Share of the updates of memories that a batch of --ways auto may lose: of its events in a
    batch a vertex is told of the last alone. `inspect` shows the share by batch size."""

    state_rows: Literal["auto", "shared", "dealt"] = "auto"
    """Where memories of vertices lie: in one place that the ranks of a host share, or dealt to the
    ranks, which then send each other what they read and write; the same numbers. auto: shared,
    where the ranks of a copy are on one host that has room for it."""

    static: str = "none"
    """What is known of vertices at any time and added to their states: none; pretrain, rows learned
    of the training events' pairs before training; or a .npy file with a row for each vertex of the
    graph store, as wide as --state-width."""

    recent: Annotated[int, AT_LEAST_ONE] = 10
    "Most recent events of a vertex that it attends to; all are strictly earlier."

    protocol: Literal["carry", "replay"] = "carry"
    """Memories that scores begin with: carry those that training left, as TGN and DistTGL do, or
    replay the events before with the weights as they are then."""
