"""The whole way from a graph store to a shard store."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import MemoryPlan, format_bytes, memory_here
from batchgnn.partition.cut import Cut, Method, Order
from batchgnn.partition.cut_graph import CutGraph, cut_graph
from batchgnn.partition.links import SplitGraph, given_split
from batchgnn.partition.metis import metis_counts, metis_shards, refuse_uncountable
from batchgnn.partition.multilevel import multilevel_shards
from batchgnn.partition.numbering import rcm_order
from batchgnn.partition.plan import cut_plan, multilevel_plan, write_plan
from batchgnn.partition.random_shards import random_shards
from batchgnn.partition.rebalance import no_graph, rebalance
from batchgnn.partition.source import GraphSource
from batchgnn.partition.supernode import supernode_shards
from batchgnn.partition.write import schema_of, write_shards
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.graph_verify import open_whole
from batchgnn.store.seeds import is_seed
from batchgnn.store.shard_store import Manifest

VERTEX_CHUNK = 1 << 16
METIS_SHARE = 0.5
"Of the memory allowed: where METIS would need more, the default is multilevel."


def partition(
    graph: GraphSource | Path | str,
    shards: Path | str,
    method: Method | None = None,
    num_shards: int = 1,
    seed: int = 0,
    *,
    order: Order | None = None,
    clusters: int | None = None,
    links: tuple[float, float, float] | None = None,
    even_seeds: bool = True,
    memory: int | None = None,
    show: bool = False,
    feature_dtype: str | None = None,
) -> Manifest:
    """Cut a graph store into shards; options are those of `Cut` and of `cut_into`."""
    cut = Cut(
        method=method,
        num_shards=num_shards,
        seed=seed,
        order=order,
        clusters=clusters,
        links=links,
        even_seeds=even_seeds,
    )
    return cut_into(graph, shards, cut, memory=memory, show=show, feature_dtype=feature_dtype)


def cut_into(
    graph: GraphSource | Path | str,
    shards: Path | str,
    cut: Cut,
    *,
    memory: int | None = None,
    show: bool = False,
    feature_dtype: str | None = None,
) -> Manifest:
    """Cut a graph store into shards: read, plan, cut, even the seeds, write.

    graph   path of a graph store, or what reads like one (`source.GraphSource`)
    shards  folder to write
    memory  bytes that may be used; None = what the machine has available now
    show    whether progress is shown on stderr
    feature_dtype  float32, float16 or bfloat16; None = as the graph has them

    Raises DataError, StoreError, ConfigError, MemoryPlanError.
    """
    refuse_existing(shards)
    source = open_whole(graph) if isinstance(graph, str | Path) else graph
    cut.check(source.num_vertices)
    if show and cut.split is not None and source.splits_edges:
        print(f"{source.name}: --links draws a split, and that of its edges is not used",
              file=sys.stderr)  # fmt: skip
    source = as_split(source, cut)
    allowed = available() if memory is None else memory
    cut = with_method(source, cut, allowed, show=show)
    require(source, cut, allowed)
    shard, inside = cut_vertices(source, cut, show=show)
    return write_shards(
        source,
        Path(shards),
        shard,
        num_shards=cut.num_shards,
        order=inside,
        method=str(cut.method),
        seed=cut.seed,
        options=cut.record(len(shard)),
        memory=allowed,
        show=show,
        feature_dtype=feature_dtype,
    )


def opened(graph: GraphSource | Path | str) -> GraphSource:
    """The graph store at a path, or the source itself."""
    return GraphStore(graph) if isinstance(graph, str | Path) else graph


def as_split(graph: GraphSource, cut: Cut) -> GraphSource:
    """The graph without the edges that are held out; the graph itself where none are."""
    split = cut.split or given_split(graph, cut.seed)
    return graph if split is None else SplitGraph(graph, split)


def with_method(graph: GraphSource, cut: Cut, allowed: int, *, show: bool = False) -> Cut:
    """The cut with the method that is the default within `allowed` bytes, where none was given.

    show: whether a line on stderr says it when it is not metis
    """
    if cut.method is not None:
        return cut
    need, half = cut_plan(schema_of(graph), graph.num_edges).total, int(METIS_SHARE * allowed)
    if need <= half and metis_counts(graph):
        return replace(cut, method="metis")
    if show:
        print(
            f"--method multilevel: metis would need {format_bytes(need)} of memory, and is the "
            f"default up to {format_bytes(half)} (half of what is allowed) and 2^31 arcs",
            file=sys.stderr,
        )
    return replace(cut, method="multilevel")


def cut_vertices(
    graph: GraphSource, cut: Cut, *, show: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """(shard int32 (N,), order of vertices int64 (N,) or None for natural)."""
    if cut.method in ("metis", "supernode"):
        refuse_uncountable(graph)
    num_vertices, num_shards = graph.num_vertices, cut.num_shards
    whole = cut_graph(graph) if cut.needs_graph else no_graph(num_vertices)
    even = cut.even_seeds and num_shards > 1
    seeds = all_seeds(graph) if even else np.empty((num_vertices, 0), np.uint8)
    shard = _shards(whole, cut, seeds, show)
    if even:
        # A random cut has no locality to keep: its vertices are moved as if there were no edges.
        damaged = no_graph(num_vertices) if cut.method == "random" else whole
        shard = rebalance(shard, num_shards, seeds, damaged).shard
    return shard, rcm_order(whole, shard) if cut.inside == "rcm" else None


def all_seeds(graph: GraphSource) -> np.ndarray:
    """uint8 (N, R): 1 = a seed of that split."""
    seeds = np.empty((graph.num_vertices, graph.num_splits), bool)
    for begin in range(0, graph.num_vertices, VERTEX_CHUNK):
        rows = slice(begin, min(begin + VERTEX_CHUNK, graph.num_vertices))
        seeds[rows] = is_seed(graph.read_labels(rows), graph.read_split(rows))
    return seeds.view(np.uint8)


def _shards(graph: CutGraph, cut: Cut, seeds: np.ndarray, show: bool) -> np.ndarray:
    if cut.method == "multilevel":
        return multilevel_shards(graph, cut.num_shards, cut.seed, seeds, show=show)
    if cut.method in ("metis", None):
        return metis_shards(graph, cut.num_shards, cut.seed)
    if cut.method == "supernode":
        clusters = cut.num_clusters(graph.num_vertices)
        return supernode_shards(graph, cut.num_shards, cut.seed, clusters)
    return random_shards(graph.num_vertices, cut.num_shards, cut.seed)


def memory_plan(graph: GraphSource, cut: Cut) -> MemoryPlan:
    """The plan of the stage that needs most."""
    schema = schema_of(graph)
    plan = write_plan(schema, graph.num_edges, cut.num_shards)
    if not cut.needs_graph:
        return plan
    whole = multilevel_plan if cut.method == "multilevel" else cut_plan
    return max(plan, whole(schema, graph.num_edges), key=lambda stage: stage.total)


def require(graph: GraphSource, cut: Cut, allowed: int) -> None:
    """Raise MemoryPlanError when the cut would need more than `allowed` bytes."""
    smaller = "Cut the graph into more shards (--shards)"
    if cut.needs_graph:
        smaller = "Use --method random --order natural, which needs no graph in memory"
        if cut.method != "multilevel":
            smaller = f"Use --method multilevel, which needs less, or {smaller[4:]}"
    memory_plan(graph, cut).require(allowed, f"{smaller}, or allow more with --memory.")


def available() -> int:
    """Bytes of memory that the machine, or the container, can give now."""
    return memory_here().available
