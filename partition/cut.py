"""How a graph is cut: the options of `batchgnn partition` that the shards depend on."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from batchgnn.base.errors import ConfigError
from batchgnn.partition.supernode import CLUSTERS_PER_SHARD
from batchgnn.store.links import LinkSpec

Method = Literal["metis", "multilevel", "random", "supernode"]
Order = Literal["rcm", "natural"]
METHODS = get_args(Method)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a graph is cut."""

    num_shards: Annotated[int, Parameter(name="--shards")]
    "Number of shards; any number of ranks up to it can train on them."

    method: Method | None = None
    """metis: few edges between shards. multilevel: nearly as few, in much less memory. random:
    every vertex draws its shard; needs no graph in memory. supernode: many METIS clusters, dealt to
    the shards at random. Default: metis, and multilevel where METIS would need more than half of
    the memory allowed."""

    seed: int = 0
    "The same graph, options and seed give the same shards."

    order: Order | None = None
    """Order of the vertices inside a shard: reverse Cuthill-McKee, or as in the graph store.
    Default: natural for random, rcm for the others."""

    clusters: int | None = None
    "Number of METIS clusters of the supernode method; default 32 per shard."

    links: Annotated[tuple[float, float, float] | None, Parameter(consume_multiple=False)] = None
    """Shares of the edges for training, validation and test of link prediction, for example
    0.85 0.05 0.10: each pair of vertices draws its part by --seed, with all its edges. Edges that
    are held out are no part of the graph that is cut and trained on; labels are left out. Default:
    as the graph's edges say themselves, where they do (`convert edges --edge-split`)."""

    even_seeds: bool = True
    """After the cut, move vertices until seeds (training vertices that have a label) and edges per
    shard are even within 5 %, and vertices as far as that cuts no more edges."""

    def check(self, num_vertices: int) -> None:
        """Raise ConfigError for settings that cannot work on that many vertices."""
        for value, known, option in (
            (self.method or METHODS[0], METHODS, "--method"),
            (self.inside, get_args(Order), "--order"),
        ):
            if value not in known:
                raise ConfigError(f"{option} {value}: needed one of {', '.join(known)}")
        if self.links is not None and not _are_shares(self.links):
            raise ConfigError(
                f"--links {' '.join(map(str, self.links))}: needed three numbers of 0 or more that "
                "add up to 1, the first above 0, for example 0.85 0.05 0.10"
            )
        if not 1 <= self.num_shards <= num_vertices:
            raise ConfigError(
                f"--shards {self.num_shards}: needed between 1 and {num_vertices:,}, the number of "
                f"vertices, because no shard may be empty"
            )
        if not self.num_shards <= self.num_clusters(num_vertices) <= num_vertices:
            raise ConfigError(
                f"--clusters {self.clusters}: needed between {self.num_shards} (--shards) and "
                f"{num_vertices:,} (vertices)"
            )

    @property
    def split(self) -> LinkSpec | None:
        """How edges are split; None: they are not."""
        return None if self.links is None else LinkSpec(*self.links, seed=self.seed)

    def num_clusters(self, num_vertices: int) -> int:
        """Clusters of the supernode method."""
        if self.clusters is not None:
            return self.clusters
        return min(CLUSTERS_PER_SHARD * self.num_shards, num_vertices)

    @property
    def inside(self) -> str:
        """Order of the vertices inside a shard."""
        return self.order or ("natural" if self.method == "random" else "rcm")

    @property
    def needs_graph(self) -> bool:
        """Whether the graph has to be in memory for the cut."""
        return self.method != "random" or self.inside == "rcm"

    def record(self, num_vertices: int) -> dict[str, object]:
        """The options as the manifest keeps them."""
        kept: dict[str, object] = {"order": self.inside, "even_seeds": self.even_seeds}
        if self.method == "supernode":
            kept["clusters"] = self.num_clusters(num_vertices)
        return kept


def _are_shares(links: tuple[float, float, float]) -> bool:
    return links[0] > 0 and min(links) >= 0 and abs(sum(links) - 1) < 1e-6
