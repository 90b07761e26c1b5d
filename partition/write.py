"""A graph and a shard for each vertex -> a shard store.

Two passes over the edges: the first buckets arcs by shard into raw files, the second sorts one
shard at a time. Features stream through in chunks of rows and are scattered into memory maps. The
folder is written beside its place and renamed when it is whole.
"""

import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

import batchgnn.store.shard_writer as writer
from batchgnn.base.progress import Progress, progress
from batchgnn.kernels.half import FEATURE_DTYPES, dtype_name
from batchgnn.kernels.partition import count_neighbor_shards, row_sums
from batchgnn.partition.events import beside_of, with_events, write_runs
from batchgnn.partition.links import (
    HeldOut,
    bucket_held_out,
    count_link_seeds,
    write_held_out,
)
from batchgnn.partition.numbering import Numbering, number
from batchgnn.partition.plan import EDGE_CHUNK, feature_chunk, sort_plan
from batchgnn.partition.quality import Arcs, quality, quotient_csr
from batchgnn.partition.rebalance import count_seeds
from batchgnn.partition.source import GraphSource
from batchgnn.partition.spill import Spill, csr_of
from batchgnn.store.degrees import count_degrees
from batchgnn.store.events import ARC
from batchgnn.store.format import atomic_folder
from batchgnn.store.links import HELD_OUT
from batchgnn.store.narrow import converted
from batchgnn.store.schema import Schema
from batchgnn.store.seeds import is_seed
from batchgnn.store.shard_store import Manifest


@dataclass(frozen=True, eq=False)
class ShardWriting:
    """What is written, and where."""

    graph: GraphSource
    folder: Path
    schema: Schema
    numbering: Numbering
    show: bool
    memory: int | None

    @property
    def num_shards(self) -> int:
        """Shards, K."""
        return len(self.numbering.offset) - 1

    def progress(self, label: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        """Progress of one stage."""
        return progress(label, total, unit, show=self.show)


def schema_of(graph: GraphSource, feature_dtype: str | None = None) -> Schema:
    """The schema of the shards of `graph`; feature_dtype: a name, or None for the graph's own."""
    names = graph.read_names(slice(0, 1))
    return Schema(
        directed=graph.directed,
        weighted=graph.weighted,
        num_vertices=graph.num_vertices,
        num_features=graph.num_features,
        feature_dtype=FEATURE_DTYPES[feature_dtype or dtype_name(graph.feature_dtype)],
        num_classes=graph.num_classes,
        task=graph.task,
        num_splits=graph.num_splits,
        id_dtype=np.dtype(np.uint32 if graph.num_vertices < 2**32 else np.uint64),
        name_dtype=None if names is None else names.dtype,
        events=graph.events,
        links=graph.links,
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
    memory: int | None = None,
    show: bool = False,
    feature_dtype: str | None = None,
) -> Manifest:
    """Write the shard store `shards` and return its manifest.

    shard   int32 (N,)  the shard of each vertex, below num_shards; every shard needs a vertex
    order   int64 (N,)  permutation: order of vertices within shards; None = as in the graph store
    memory  bytes that may be used; None = any number
    show    whether progress is shown on stderr
    feature_dtype  float32, float16 or bfloat16; None = as the graph has them

    Raises StoreError when `shards` exists, or when the disk is full, MemoryPlanError when the
    largest shard is too large to sort, and DataError when a feature does not fit `feature_dtype`;
    nothing is left behind then.
    """
    with atomic_folder(shards) as folder:
        schema = schema_of(graph, feature_dtype)
        options = (options or {}) | _rounding(graph, schema)
        numbering = number(shard, num_shards, schema.id_dtype, order)
        job = ShardWriting(graph, folder, schema, numbering, show, memory)
        return _write(job, {"method": method, "seed": seed, "options": options})


def _rounding(graph: GraphSource, schema: Schema) -> dict[str, str]:
    """The option that says that features lose digits on their way into the shards."""
    before = dtype_name(graph.feature_dtype)
    rounded = schema.feature_name not in ("float32", before)
    return {"features_rounded_from": before} if rounded else {}


def _write(job: ShardWriting, made_by: dict) -> Manifest:
    """All files of the store."""
    spills, held_out = _bucket_arcs(job), _bucket_held_out(job)
    largest = max(int(spill.count.max()) for spill in [*spills, *held_out.spills])
    if job.memory is not None:
        sort_plan(job.schema, largest).require(
            job.memory, "Cut the graph into more shards (--shards), or allow more (--memory)."
        )
    drafts, num_halo, arcs, num_links = _write_topology(job, spills, held_out)
    shutil.rmtree(job.folder / "spill")
    num_seeds = _write_vertices(job, drafts)
    if job.schema.events is not None:
        num_seeds = write_runs(job.graph, job.numbering.new_id, drafts)
    if job.schema.links is not None:
        firsts = job.numbering.offset[:-1].tolist()
        counts = [count_link_seeds(*each, job.schema) for each in zip(drafts, firsts, strict=True)]
        num_seeds = np.array(counts, np.int64)[:, None]
    sums, names = writer.take_checksums(drafts)
    offset, shard_edges = job.numbering.offset, spills[0].count
    fingerprint = writer.fingerprint_of(sums, names, offset)
    for draft in drafts:
        writer.stamp(draft.path, fingerprint)
    place, fold = writer.take_sums(drafts)
    schema = job.schema
    figures = quality(arcs, num_halo, shard_edges, schema.num_vertices, schema.directed)
    indptr, indices, weight = quotient_csr(arcs, job.num_shards)
    manifest = Manifest(
        **{field.name: getattr(schema, field.name) for field in fields(Schema)},
        **made_by,
        **asdict(figures),
        name=job.graph.name,
        fingerprint=fingerprint,
        num_edges=int(shard_edges.sum()),
        offset=offset,
        shard_edges=shard_edges,
        num_seeds=num_seeds,
        num_links=num_links,
        num_halo=num_halo,
        class_name=np.array([name.encode() for name in job.graph.class_names or ()], "S"),
        degree_count=np.sum([_count_degrees(draft) for draft in drafts], axis=0),
        quotient_indptr=indptr,
        quotient_indices=indices,
        quotient_weight=weight,
        checksum=sums,
        checksum_dataset=names,
        place=place,
        fold=fold,
    )
    writer.write_manifest(job.folder, manifest)
    return manifest


def _bucket_arcs(job: ShardWriting) -> list[Spill]:
    """First pass: in-arcs (and out-arcs of a directed graph) by shard, in raw files."""
    schema, new_id = job.schema, job.numbering.new_id
    (job.folder / "spill").mkdir()
    spills = [
        Spill(job.folder / "spill" / side, job.numbering.offset, schema.id_dtype, beside_of(schema))
        for side in ("in", "out")[: 1 + schema.directed]
    ]
    with job.progress("bucketing", job.graph.num_edges, "edges") as bar:
        for source, target, beside in with_events(job.graph, EDGE_CHUNK):
            u, v = new_id[source], new_id[target]
            spills[0].add(v, u, beside)
            if schema.directed:
                spills[1].add(u, v, beside)
            else:
                mirrored = u != v  # a self-loop stands for one arc
                back = None if beside is None else beside[mirrored]
                spills[0].add(u[mirrored], v[mirrored], back)
            bar.advance(len(source))
    return spills


def _bucket_held_out(job: ShardWriting) -> HeldOut:
    """Held-out arcs by the shard of their source, in raw files."""
    folder, schema = job.folder / "spill", job.schema
    names = HELD_OUT if schema.links is not None else ()
    spills = [Spill(folder / name, job.numbering.offset, schema.id_dtype) for name in names]
    return bucket_held_out(job.graph, spills, job.numbering.new_id)


def _write_topology(
    job: ShardWriting, spills: list[Spill], held_out: HeldOut
) -> tuple[list[writer.Draft], np.ndarray, Arcs, np.ndarray]:
    """Second pass: adjacency and degrees of every shard.

    Returns (drafts, num_halo int64 (K,), arcs as triplets of `quality`, num_links int64 (K, 2)).
    """
    offset, num_shards = job.numbering.offset, job.num_shards
    seen = np.full(job.schema.num_vertices, -1, np.int32)
    num_halo, arcs = np.zeros(num_shards, np.int64), np.empty(num_shards, np.int64)
    num_links = np.zeros((num_shards, 2), np.int64)
    drafts, triplets = [], []
    with job.progress("sorting", num_shards, "shards") as bar:
        for s in range(num_shards):
            n, counts = int(offset[s + 1] - offset[s]), [int(spill.count[s]) for spill in spills]
            held = held_out.of_shard(s)
            num_links[s, : len(held)] = list(map(len, held))
            draft = _create(job, s, n, counts, num_links[s])
            write_held_out(draft, held)
            for side, spill in zip(("in", "out"), spills, strict=False):
                _write_side(draft, side, spill, s, n, job.schema)
            if not job.schema.directed:
                draft.open("degree/out")[:] = draft.open("degree/in")
            num_halo[s] = count_neighbor_shards(draft.open("in/indices"), s, offset, seen, arcs)
            found = np.flatnonzero(arcs)
            triplets.append((np.full(len(found), s), found, arcs[found]))
            drafts.append(draft)
            bar.advance()
    into, out_of, count = (np.concatenate(part) for part in zip(*triplets, strict=True))
    return drafts, num_halo, (into, out_of, count), num_links


def _create(
    job: ShardWriting, s: int, n: int, counts: list[int], held_out: np.ndarray
) -> writer.Draft:
    """The file of shard s, empty; counts: of in-arcs, and out-arcs of a directed graph."""
    first, events = int(job.numbering.offset[s]), job.schema.events
    run = slice(0, 0) if events is None else events.run(s, job.num_shards)
    num_in, num_out = counts[0], counts[1] if len(counts) > 1 else 0
    sizes = n, num_in, num_out, run.stop - run.start
    return writer.create_shard(job.folder, job.schema, s, first, *sizes, held_out.tolist())


def _write_side(
    draft: writer.Draft, side: str, spill: Spill, s: int, n: int, schema: Schema
) -> None:
    """The in-arcs or the out-arcs of shard s, and the degrees that follow from them."""
    indptr, indices, beside = csr_of(spill, s, n, schema.num_vertices)
    draft.open(f"{side}/indptr")[:] = indptr
    draft.open(f"{side}/indices")[:] = indices
    draft.open(f"degree/{side}")[:] = np.diff(indptr)
    if schema.weighted:
        draft.open(f"{side}/weight")[:] = beside
        if side == "in":
            row_sums(indptr, beside, draft.open("degree/weighted_in"))
    elif beside is not None:
        draft.open(ARC)[:] = beside


def _write_vertices(job: ShardWriting, drafts: list[writer.Draft]) -> np.ndarray:
    """Features, labels, splits, names and original ids; returns num_seeds int64 (K, R)."""
    graph, schema, numbering = job.graph, job.schema, job.numbering
    num_seeds = np.zeros((job.num_shards, schema.num_splits), np.int64)
    for s, draft in enumerate(drafts):
        own = slice(numbering.offset[s], numbering.offset[s + 1])
        draft.open("vertex/original_id")[:] = numbering.original_id[own]
    chunk = feature_chunk(schema)
    with job.progress("features", schema.num_vertices, "vertices") as bar:
        for begin in range(0, schema.num_vertices, chunk):
            rows = slice(begin, min(begin + chunk, schema.num_vertices))
            columns: dict[str, np.ndarray] = {
                "vertex/features": converted(
                    graph.read_features(rows),
                    schema.feature_dtype,
                    np.arange(rows.start, rows.stop),
                    graph.name,
                ),
                "vertex/label": graph.read_labels(rows),
                "vertex/split": graph.read_split(rows),
            }
            names = graph.read_names(rows)
            if names is not None:
                columns["vertex/name"] = names
            _scatter(columns, numbering.new_id[rows].astype(np.int64), numbering.offset, drafts)
            seeds = is_seed(columns["vertex/label"], columns["vertex/split"])
            shard = np.searchsorted(numbering.offset, numbering.new_id[rows], "right") - 1
            num_seeds += count_seeds(shard, job.num_shards, seeds)
            bar.advance(rows.stop - begin)
    return num_seeds


def _count_degrees(draft: writer.Draft) -> np.ndarray:
    """Of a shard's vertices and seeds, as `Manifest.degree_count`."""
    seeds = is_seed(draft.open("vertex/label"), draft.open("vertex/split"))
    return count_degrees(draft.open("degree/in"), draft.open("degree/out"), seeds)


def _scatter(columns: dict, new_id: np.ndarray, offset: np.ndarray, drafts: list) -> None:
    """Put rows of some datasets where their vertices are; new_id int64, one per row."""
    order = np.argsort(new_id)
    ends = np.searchsorted(new_id[order], offset)
    for s in np.flatnonzero(np.diff(ends)):
        pick = order[ends[s] : ends[s + 1]]
        for name, values in columns.items():
            drafts[s].open(name)[new_id[pick] - offset[s]] = values[pick]
