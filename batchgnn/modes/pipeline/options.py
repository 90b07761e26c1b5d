"""Options of mode pipeline alone."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Layers on ranks, and how old the rows may be that chunks read of each other."""

    FREE: ClassVar = ("stages", "recompute")

    stages: Literal["auto"] | int | None = None
    """Runs of consecutive layers, each on a rank of its own, which passes every chunk (a shard of
    the store) on to the next: as many as ranks by ways. auto = parted so that the slowest takes
    least, by predicted seconds of the layers. [default: nearly equal numbers of layers]"""

    pipeline_ways: Annotated[int, AT_LEAST_ONE] = 1
    """Ranks that share a stage's layers. Each owns a run of the shards; the first shards of all
    runs together are the first chunk, the second ones the second. Before a chunk is aggregated its
    rows are swapped. Ranks are stages times ways."""

    history_every: Annotated[int, AT_LEAST_ONE] = 23
    """A chunk reads rows of chunks that come after it as they were at the end of the last epoch
    whose number this divides: they are up to so many epochs old."""

    history_init: Literal["exact", "zero"] = "exact"
    "What they are before the first such epoch: rows of one exact pass over all layers, or 0."

    gradient: Literal["double", "drop", "stale"] = "double"
    """What of a chunk's gradient comes through edges to others: that of those behind it in the
    order of the epoch, doubled, since the other half is missing; the same, once; or all, with last
    epoch's gradients for those that are missing, which --model gat does not have."""

    guard_every: Annotated[int, NOT_NEGATIVE] = 20
    """Epochs between comparisons with an exact forward; where the rows have drifted too far from
    it, training goes on exactly from there. 0 = never."""

    wavefront: bool = False
    """Exact: chunks in an order in which edges join near ones, and a layer goes on with a chunk
    when those that it reads have left the layer before. For graphs whose chunks are a chain, such
    as grids and roads; in others a layer waits for nearly all of the one before. There is no
    history then: of the options of this mode it goes with --stages alone."""

    recompute: bool = False
    """Keep of a chunk what enters the stage alone, and compute its layers again in backward: less
    memory, half as much work again."""
