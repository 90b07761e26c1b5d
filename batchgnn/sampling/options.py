"""Options of modes that sample, and of inputs that are aggregated once."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter

from batchgnn.settings.checks import AT_LEAST_ONE

DEFAULT_FANOUTS, DEFAULT_BATCH_SIZE = (15, 10, 5), 1024


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How large a step is."""

    batch_size: Annotated[int | None, AT_LEAST_ONE] = None
    """Seeds per optimiser step, over all ranks: vertices, edges, or events. [default: 1024; 600
    events]"""

    @property
    def size(self) -> int:
        """The batch size, once resolved."""
        if self.batch_size is None:
            raise ValueError("the batch size is not resolved yet")
        return self.batch_size


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Minibatches, and where their edges and rows are."""

    FREE: ClassVar = ("topology", "aggregate_memory", "feature_cache")

    fanouts: Annotated[tuple[int, ...] | None, Parameter(consume_multiple=True, negative=())] = None
    """Neighbours kept per hop, from the seeds outward, one per layer; -1 = all.
    [default: 15 10 5, then 5]"""

    topology: Literal["sharded", "node-shared"] = "sharded"
    """sharded: who owns a vertex draws its neighbours, asked by messages. node-shared: the ranks of
    a node have a copy of all edges in shared memory, and sampling needs no messages; they read each
    other's input rows there too, where these are held in memory."""

    aggregate_memory: str | None = None
    """Memory per rank for --aggregate-cache memory, such as 2G: the vertices most likely to be
    needed are kept, the others aggregated in every step. [default: all are kept]"""

    feature_cache: str | None = None
    """Memory per rank, such as 512M, for copies of the remote rows that it will need most often;
    they are fetched once, before training. [default: no copies]"""

    exclude_seeds: bool | None = None
    """Where edges are trained on: those of a step carry no message in it, in neither direction, so
    that a model does not see what it is asked for. [default: on, where seeds are edges]"""

    def hops(self, kept: "KeptInputs") -> tuple[int, ...]:
        """Fanouts of the hops that are sampled, once resolved."""
        if self.fanouts is None:
            raise ValueError("the fanouts are not resolved yet")
        keeps_all = kept.is_kept and self.aggregate_memory is None
        return self.fanouts[:-1] if keeps_all else self.fanouts


@dataclass(frozen=True, kw_only=True)
class KeptInputs:
    """The first layer's aggregation of the input features."""

    aggregate_cache: Literal["off", "memory", "store"] | None = None
    """Aggregate the input features over all in-neighbours once, and keep that in memory or beside
    the shards: where the graph is sampled the first layer is then not sampled, and the last number
    of --fanouts not used. [default: off where the graph is sampled; on the whole graph memory,
    where it can be used]"""

    @property
    def is_kept(self) -> bool:
        """Whether they are kept, once resolved."""
        return self.aggregate_cache != "off"
