"""Memory that a rank of mode averaging will need: that of macrobatch, on its trainer's graph."""

from dataclasses import replace

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.averaging.check import deal_shards_to, ranks_of_trainer
from batchgnn.modes.extent import Extent
from batchgnn.modes.macrobatch.memory import fit_macrobatch, plan_macrobatch
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.induced import induced_manifest

EDGES = "edges among the trainer's vertices"
LOOKED_AT = "looking at the edges of a shard"
LOOKING_BYTES = 13
"Of an edge, while it is decided which are left: its owner, whether it is, how many before."


def plan_averaging(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them."""
    part = _of_trainer(extent)
    copied = 0 if part is extent else _copied_bytes(part)
    largest = int(part.manifest.shard_edges[part.shards].max(initial=0))
    looking = 0 if part is extent else LOOKING_BYTES * largest
    return MemoryPlan({**plan_macrobatch(part).parts, EDGES: copied, LOOKED_AT: looking})


def fit_averaging(extent: Extent) -> Settings:
    """As macrobatch."""
    fitted = fit_macrobatch(_of_trainer(extent))
    names = ("macrobatch_memory", "evaluation_memory")
    return extent.settings.replace(**{name: fitted.options()[name] for name in names})


def _of_trainer(extent: Extent) -> Extent:
    """This rank's part of its trainer's graph; edges are counted as if none were left out."""
    width = ranks_of_trainer(extent.settings, extent.num_ranks)
    if width == extent.num_ranks:
        return extent
    manifest, num_ranks = extent.manifest, extent.num_ranks
    if extent.num_lost:  # its own, and those of lost ranks
        mine = extent.shards
        is_of_trainer = np.isin(np.arange(manifest.num_shards), mine)
    else:
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


def _copied_bytes(extent: Extent) -> int:
    """Of indptr, indices and weights that are not mapped; an upper bound: as if none were cut."""
    manifest = extent.manifest
    word = manifest.id_dtype.itemsize + 4 * manifest.weighted
    both = 1 + manifest.directed
    return both * (word * extent.num_edges + 8 * extent.num_own) + 24 * extent.num_own
