"""Commands `partition`, `inspect` and `verify`."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console, Group

from batchgnn.base.bytes import format_bytes, parse_bytes
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.partition.cut import Cut
from batchgnn.partition.partition import (
    as_split,
    available,
    cut_into,
    memory_plan,
    opened,
    with_method,
)
from batchgnn.partition.plan import disk_bytes
from batchgnn.partition.tables import graph_tables, shard_tables, trainer_tables
from batchgnn.partition.write import schema_of
from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_verify import verify as verify_graph
from batchgnn.store.shard_store import MANIFEST, ShardStore
from batchgnn.store.shard_verify import verify as verify_shards


def partition(
    graph: Path,
    shards: Path,
    /,
    *,
    cut: Annotated[Cut, Parameter(name="*")],
    feature_dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    memory: str | None = None,
    dry_run: bool = False,
) -> None:
    """Cut a graph store into shards.

    Parameters
    ----------
    graph
        Graph store, made by `batchgnn data convert` or `batchgnn data generate`.
    shards
        Folder to write; must not exist.
    feature_dtype
        What features are stored as; half width rounds them, to 11 bits (float16, up to 65504) or
        8 bits (bfloat16, any size). Default: as the graph store has them.
    memory
        Memory that may be used, for example 8G; default: what the machine has available.
    dry_run
        Print the memory and the disk space that are needed, write nothing.
    """
    allowed = available() if memory is None else parse_bytes(memory)
    if dry_run:
        _show_plan(graph, shards, cut, allowed, feature_dtype)
        return
    manifest = cut_into(graph, shards, cut, memory=allowed, show=True, feature_dtype=feature_dtype)
    print(
        f"{shards}: {cut.num_shards} shards of {manifest.name}, {manifest.edge_cut:,} edges cut, "
        f"halo factor {manifest.halo_factor:.3f}, balance {manifest.balance:.3f}"
    )


def inspect(
    path: Path,
    /,
    *,
    trainers: Annotated[int | None, AT_LEAST_ONE] = None,
    seed: Annotated[int | None, NOT_NEGATIVE] = None,
) -> None:
    """Print what is in a graph store or a shard store: counts, cut, balance, memory per rank.

    Parameters
    ----------
    path
        Graph store (a file) or shard store (a folder).
    trainers
        Of a shard store: also what so many trainers of --mode averaging will have, the edges that
        are kept among them, how their labels differ, and how even they are. Edges are read.
    seed
        With --trainers: the --seed of that training, which draws the deal. [default: 0]
    """
    if trainers is not None and not path.is_dir():
        raise StoreError(
            f"{path}: --trainers is about shards, a folder that batchgnn partition makes."
        )
    if seed is not None and trainers is None:
        raise ConfigError("--seed draws the deal among trainers: give --trainers, or leave it out.")
    if path.is_dir():
        store = ShardStore(path)
        tables = shard_tables(store)
        if trainers is not None:
            tables = Group(tables, trainer_tables(store, trainers, seed or 0))
    else:
        tables = graph_tables(opened(_existing(path)))
    Console().print(tables)


def verify(path: Path, /) -> None:
    """Check every byte of a shard store, or the values of a graph store; name what is broken.

    Parameters
    ----------
    path
        Graph store (a file) or shard store (a folder).
    """
    if path.is_dir():
        manifest = verify_shards(path, show=True)
        print(f"{path}: {manifest.num_shards} shards, all checksums and invariants hold")
    else:
        graph = verify_graph(_existing(path), show=True)
        edges = "edges" if graph.events is None else "events"
        print(
            f"{path}: {graph.num_vertices:,} vertices and {graph.num_edges:,} {edges}, "
            f"all values are in range"
        )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise StoreError(
            f"{path} does not exist: needed a graph store (a file, by batchgnn data convert) or "
            f"a shard store (a folder with {MANIFEST}, by batchgnn partition)"
        )
    return path


def _show_plan(
    graph: Path, shards: Path, cut: Cut, allowed: int, feature_dtype: str | None
) -> None:
    refuse_existing(shards)
    whole = opened(graph)
    cut.check(whole.num_vertices)
    source = as_split(whole, cut)
    cut = with_method(source, cut, allowed, show=True)
    plan = memory_plan(source, cut)
    counts = source.num_edges, cut.num_shards, whole.num_edges - source.num_edges
    disk = disk_bytes(schema_of(source, feature_dtype), *counts)
    for name, size in plan.parts.items():
        print(f"{format_bytes(size):>12}  {name}")
    print(f"{format_bytes(plan.total):>12}  memory in all, of {format_bytes(allowed)}")
    beside = next(folder for folder in shards.absolute().parents if folder.exists())
    free = format_bytes(shutil.disk_usage(beside).free)
    print(f"{format_bytes(disk):>12}  disk space at most while writing, of {free} free")
