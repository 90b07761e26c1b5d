"""A graph and a shard for each vertex -> a shard store.

Two passes over the edges: the first buckets arcs by shard into raw files, the second sorts one
shard at a time. Features stream through in chunks of rows and are scattered into memory maps. The
folder is written beside its place and renamed when it is whole.
"""

import errno
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import batchgnn.store.shard_writer as writer
from batchgnn.errors import StoreError
from batchgnn.kernels.partition import count_neighbor_shards, row_sums
from batchgnn.memory import format_bytes
from batchgnn.partition.source import GraphSource
from batchgnn.partition.spill import Spill, csr_of
from batchgnn.store.shard_store import Manifest, Schema

EDGE_CHUNK = 1 << 20
FEATURE_CHUNK_BYTES = 32 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, of how much)."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that is not shown."""


@dataclass(frozen=True, eq=False)
class Numbering:
    """Shard-store ids.

    offset       int64 (K + 1,)  first id of each shard
    original_id  int64 (N,)      row in the graph store of each shard-store id
    new_id       ids' dtype (N,) shard-store id of each row of the graph store
    """

    offset: np.ndarray
    original_id: np.ndarray
    new_id: np.ndarray


def number(
    shard: np.ndarray, num_shards: int, id_dtype, order: np.ndarray | None = None
) -> Numbering:
    """Number the vertices shard after shard.

    shard  int32 (N,)  each below num_shards
    order  int64 (N,)  permutation: the order of vertices within their shards; None = by row
    """
    if order is None:
        original = np.argsort(shard, kind="stable")
    else:
        original = order[np.argsort(shard[order], kind="stable")]
    new_id = np.empty(len(shard), id_dtype)
    new_id[original] = np.arange(len(shard), dtype=id_dtype)
    sizes = np.bincount(shard, minlength=num_shards)
    return Numbering(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), original, new_id)


@dataclass
class Topology:
    """What the second pass over the arcs learns about the shards."""

    num_halo: np.ndarray
    arcs: np.ndarray
    "int64 (K, K) as rows of dictionaries would be: arcs[t][s] = arcs from shard s into shard t."
    drafts: list = field(default_factory=list)


def schema_of(graph: GraphSource) -> Schema:
    """The schema of the shards of `graph`."""
    names = graph.read_names(slice(0, 1))
    return Schema(
        directed=graph.directed,
        weighted=graph.weighted,
        num_vertices=graph.num_vertices,
        num_features=graph.num_features,
        feature_dtype=np.dtype(graph.feature_dtype),
        num_classes=graph.num_classes,
        task=graph.task,
        num_splits=graph.num_splits,
        id_dtype=np.dtype(graph.id_dtype),
        name_dtype=None if names is None else names.dtype,
    )


def write_shards(
    graph: GraphSource,
    shards: Path,
    shard: np.ndarray,
    *,
    num_shards: int,
    order: np.ndarray | None = None,
    method: str = "given",
    seed: int = 0,
    options: dict | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Write the shard store `shards` and return its manifest.

    shard  int32 (N,)  the shard of each vertex, below num_shards; every shard needs a vertex
    order  int64 (N,)  permutation: order of vertices within shards; None = as in the graph store

    Raises StoreError when `shards` exists, or when the disk is full; nothing is left behind then.
    """
    shards = Path(shards)
    if shards.exists():
        raise StoreError(f"{shards} exists already: choose another folder, or remove it first")
    shards.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{shards.name}.", dir=shards.parent))
    try:
        schema = schema_of(graph)
        numbering = number(shard, num_shards, schema.id_dtype, order)
        manifest = _write(graph, draft, schema, numbering, progress, method, seed, options or {})
        draft.chmod(0o755)
        draft.rename(shards)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise _no_room(shards, error) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _no_room(shards: Path, error: OSError) -> StoreError:
    free = shutil.disk_usage(shards.parent).free
    return StoreError(
        f"{shards}: no room to write the shards ({error.strerror or error}): {format_bytes(free)} free on "
        f"that disk. Nothing was left behind. Free some space, raise the quota or choose a folder "
        f"on another disk; batchgnn partition --dry-run prints what is needed"
    )


def _write(graph, folder, schema, numbering, progress, method, seed, options) -> Manifest:
    """All files of the store, in `folder`."""
    spills = _bucket_arcs(graph, folder / "spill", schema, numbering, progress)
    drafts, halo, quotient = _write_topology(folder, schema, numbering, spills, progress)
    shutil.rmtree(folder / "spill")
    num_train = _write_vertices(graph, schema, numbering, drafts, progress)
    progress("checksums", 0, 1)
    sums, names = writer.take_checksums(drafts)
    fingerprint = writer.fingerprint_of(sums, names, numbering.offset)
    for one in drafts:
        writer.stamp(one.path, fingerprint)
    manifest = _manifest(graph, schema, numbering.offset, spills[0].count, halo, quotient)
    manifest = Manifest(
        **manifest,
        fingerprint=fingerprint,
        method=method,
        seed=seed,
        options=options,
        num_train=num_train,
        checksum=sums,
        checksum_dataset=names,
    )
    writer.write_manifest(folder, manifest)
    progress("checksums", 1, 1)
    return manifest


def _bucket_arcs(graph, folder, schema, numbering, progress) -> list[Spill]:
    """First pass: in-arcs (and out-arcs of a directed graph) by shard, in raw files."""
    folder.mkdir()
    sides = ("in", "out")[: 1 + schema.directed]
    spills = [
        Spill(folder / side, numbering.offset, schema.id_dtype, schema.weighted) for side in sides
    ]
    done = 0
    for source, target, weight in graph.iter_edges(EDGE_CHUNK):
        u, v = numbering.new_id[source], numbering.new_id[target]
        spills[0].add(v, u, weight)
        if schema.directed:
            spills[1].add(u, v, weight)
        else:
            mirrored = u != v  # a self-loop stands for one arc
            back = None if weight is None else weight[mirrored]
            spills[0].add(u[mirrored], v[mirrored], back)
        done += len(source)
        progress("edges", done, graph.num_edges)
    return spills


def _write_topology(folder, schema, numbering, spills, progress):
    """Second pass: (drafts, num_halo (K,), quotient triplets) with all adjacency written."""
    offset, num_shards = numbering.offset, len(numbering.offset) - 1
    seen = np.full(schema.num_vertices, -1, np.int32)
    halo, drafts, triplets = np.zeros(num_shards, np.int64), [], []
    arcs = np.empty(num_shards, np.int64)
    for s in range(num_shards):
        n = int(offset[s + 1] - offset[s])
        counts = [int(spill.count[s]) for spill in spills]
        draft = writer.create_shard(folder, schema, s, int(offset[s]), n, *counts)
        drafts.append(draft)
        for side, spill in zip(("in", "out"), spills, strict=False):
            indptr, indices, weight = csr_of(spill.take(s), int(offset[s]), n, schema.num_vertices)
            draft.open(f"{side}/indptr")[:] = indptr
            draft.open(f"{side}/indices")[:] = indices
            if weight is not None:
                draft.open(f"{side}/weight")[:] = weight
            draft.open(f"degree/{side}")[:] = np.diff(indptr)
            if side == "in":
                if not schema.directed:
                    draft.open("degree/out")[:] = np.diff(indptr)
                if weight is not None:
                    row_sums(indptr, weight, draft.open("degree/weighted_in"))
                halo[s] = count_neighbor_shards(indices, s, offset, seen, arcs)
                found = np.flatnonzero(arcs)
                triplets.append((np.full(len(found), s), found, arcs[found]))
        progress("shards", s + 1, num_shards)
    return drafts, halo, tuple(np.concatenate(part) for part in zip(*triplets, strict=True))


def _write_vertices(graph, schema, numbering, drafts, progress) -> np.ndarray:
    """Features, labels, splits, names and original ids; returns num_train int64 (K, R)."""
    offset, num_shards = numbering.offset, len(drafts)
    num_train = np.zeros((num_shards, schema.num_splits), np.int64)
    for s, draft in enumerate(drafts):
        draft.open("vertex/original_id")[:] = numbering.original_id[offset[s] : offset[s + 1]]
    row_bytes = max(schema.num_features * schema.feature_dtype.itemsize, 64)
    chunk = max(FEATURE_CHUNK_BYTES // row_bytes, 1)
    for begin in range(0, schema.num_vertices, chunk):
        rows = slice(begin, min(begin + chunk, schema.num_vertices))
        columns = {
            "vertex/features": graph.read_features(rows),
            "vertex/label": graph.read_labels(rows),
            "vertex/split": graph.read_split(rows),
        }
        if schema.has_name:
            columns["vertex/name"] = graph.read_names(rows)
        new = numbering.new_id[rows].astype(np.int64)
        order = np.argsort(new)
        ends = np.searchsorted(new[order], offset)
        for s in np.flatnonzero(np.diff(ends)):
            pick = order[ends[s] : ends[s + 1]]
            place = new[pick] - offset[s]
            for name, values in columns.items():
                drafts[s].open(name)[place] = values[pick]
            num_train[s] += (columns["vertex/split"][pick] == 1).sum(axis=0)
        progress("features", rows.stop, schema.num_vertices)
    return num_train


def _manifest(graph, schema, offset, shard_edges, halo, quotient) -> dict:
    """Fields of the manifest that the graph and the cut fix."""
    from scipy.sparse import coo_array

    into, out_of, weight = quotient
    num_shards, num_edges = len(offset) - 1, int(shard_edges.sum())
    between = into != out_of
    cut = int(weight[between].sum())
    one_way = coo_array(
        (weight[between], (into[between], out_of[between])), shape=(num_shards, num_shards)
    ).tocsr()
    both = (one_way + one_way.T).tocsr()
    both.sort_indices()
    return asdict(schema) | {
        "name": graph.name,
        "num_edges": num_edges,
        "halo_factor": float(halo.sum() / max(schema.num_vertices, 1)),
        "balance": float(shard_edges.max() * num_shards / num_edges) if num_edges else 1.0,
        "edge_cut": cut if schema.directed else cut // 2,
        "offset": offset,
        "shard_edges": shard_edges,
        "num_halo": halo,
        "quotient_indptr": both.indptr.astype(np.int64),
        "quotient_indices": both.indices.astype(np.int64),
        "quotient_weight": both.data.astype(np.int64),
    }
