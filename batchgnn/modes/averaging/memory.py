"""Memory that a rank of mode averaging will need: that of macrobatch, on its trainer's graph."""

from dataclasses import replace

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.graph.assign import assign_shards
from batchgnn.graph.deal import deal_shards_to
from batchgnn.modes.averaging.check import ranks_of_trainer, ranks_that_train
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.averaging.server import settings_of_server
from batchgnn.modes.extent import Extent
from batchgnn.modes.macrobatch.memory import (
    EVALUATION,
    evaluation_bytes,
    evaluation_chunk,
    fit_macrobatch,
    plan_macrobatch,
    tables_bytes,
    training_bytes,
)
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.induced import induced_manifest

EDGES = "edges among the trainer's vertices"
SERVER = "steps on the whole graph, beyond what training needs"
LOOKED_AT = "looking at the edges of a shard"
LOOKING_BYTES = 13
"Of an edge, while it is decided which are left: its owner, whether it is, how many before."


def plan_averaging(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them."""
    if extent.rank >= ranks_that_train(extent.settings, extent.num_ranks):
        return _plan_evaluator(_of_evaluator(extent))
    part = _of_trainer(extent)
    copied = 0 if part is extent else _copied_bytes(part)
    largest = int(part.manifest.shard_edges[part.shards].max(initial=0))
    looking = 0 if part is extent else LOOKING_BYTES * largest
    parts = {**plan_macrobatch(part).parts, EDGES: copied, LOOKED_AT: looking}
    return MemoryPlan(parts | {SERVER: _server_bytes(extent, part)})


def fit_averaging(extent: Extent) -> Settings:
    """As macrobatch."""
    trains = extent.rank < ranks_that_train(extent.settings, extent.num_ranks)
    fitted = fit_macrobatch(_of_trainer(extent) if trains else _of_evaluator(extent))
    names = ("macrobatch_memory", "evaluation_memory")
    return extent.settings.replace(**{name: fitted.options()[name] for name in names})


def _of_trainer(extent: Extent) -> Extent:
    """This rank's part of its trainer's graph; edges are counted as if none were left out."""
    width = ranks_of_trainer(extent.settings, extent.num_ranks)
    if width == extent.num_ranks:
        return extent
    manifest = extent.manifest
    if extent.num_lost:  # its own, and those of lost ranks
        mine = extent.shards
        is_of_trainer = np.isin(np.arange(manifest.num_shards), mine)
    else:
        num_ranks = ranks_that_train(extent.settings, extent.num_ranks)
        seed = extent.settings[Training].seed
        ranks = deal_shards_to(manifest.num_shards, num_ranks // width, num_ranks, seed)
        mine = np.flatnonzero(ranks == extent.rank)
        is_of_trainer = ranks // width == extent.rank // width
    return replace(
        extent,
        manifest=induced_manifest(manifest, is_of_trainer),
        shards=mine,
        num_own=int(manifest.shard_vertices[mine].sum()),
        num_edges=int(manifest.shard_edges[mine].sum()),
    )


def _of_evaluator(extent: Extent) -> Extent:
    """This rank's part of all shards, dealt to the evaluator's ranks."""
    manifest, width = extent.manifest, ranks_of_trainer(extent.settings, extent.num_ranks)
    rank = extent.rank - ranks_that_train(extent.settings, extent.num_ranks)
    mine = np.flatnonzero(assign_shards(manifest, width, extent.path) == rank)
    return replace(
        extent,
        shards=mine,
        num_own=int(manifest.shard_vertices[mine].sum()),
        num_edges=int(manifest.shard_edges[mine].sum()),
        rank=rank,
        num_ranks=width,
    )


def _plan_evaluator(extent: Extent) -> MemoryPlan:
    """Of ranks that evaluate alone: a second model, and the mean that is evaluated."""
    chunk = evaluation_chunk(extent.settings)
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=40),
            "the model that is evaluated": 3 * extent.model.parameters.buffer.nbytes,
            "tables of vertex ids": tables_bytes(extent),
            EVALUATION: evaluation_bytes(extent, chunk),
        }
    )


def _server_bytes(extent: Extent, part: Extent) -> int:
    """Of steps on the whole graph: what is kept for them, and a step above one of the trainer."""
    if not extent.settings[Trainers].num_server_steps:
        return 0
    whole = replace(extent, settings=settings_of_server(extent.settings))
    kept, computing = whole.kept_bytes()
    held, step = (sum(training_bytes(each, 1).values()) for each in (part, whole))
    passing = max(0, step - held, computing - held)
    moments = 3 * whole.model.parameters.buffer.nbytes
    return moments + tables_bytes(whole) + kept + passing


def _copied_bytes(extent: Extent) -> int:
    """Of indptr, indices and weights that are not mapped; an upper bound: as if none were cut."""
    manifest = extent.manifest
    word = manifest.id_dtype.itemsize + 4 * manifest.weighted
    both = 1 + manifest.directed
    return both * (word * extent.num_edges + 8 * extent.num_own) + 24 * extent.num_own
