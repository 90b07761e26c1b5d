"""Memory that a rank will need to train on samples and evaluate; upper bounds."""

from batchgnn.base.bytes import MemoryPlan, parse_bytes
from batchgnn.modes.extent import Extent
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.macrobatch.size import EDGE_BYTES, MOST
from batchgnn.modes.options import Messages
from batchgnn.sampling import row_cache
from batchgnn.sampling.inference import CHUNK_BYTES
from batchgnn.sampling.options import Batches, KeptInputs, Sampling
from batchgnn.sampling.row_cache import TABLE_SLOTS, capacity_of
from batchgnn.sampling.schedule import most_seeds
from batchgnn.sampling.topology import topology_bytes
from batchgnn.settings.general import Training


def plan_macrobatch(extent: Extent) -> MemoryPlan:
    """Peak bytes of mode macrobatch on a rank, by what holds them.

    A frontier holds at most seeds x product of (fanout + 1) vertices, and at most all vertices.
    The rest of the shards is mapped: the operating system may drop its pages at any time.
    """
    copies, choosing = cache_bytes(extent)
    kept, computing = extent.kept_bytes()
    training = training_bytes(extent)
    preparing = max(choosing, computing) - sum(training.values())
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=40),
            "a copy of the own features": extent.copied_feature_bytes,
            "this rank's part of the node's shared topology": shared_bytes(extent),
            "copies of remote rows": copies,
            "aggregated inputs": kept,
            "preparing them, beyond what training needs": max(0, preparing),
            **training,
            "layers of the exact evaluation": 2 * extent.num_own * 4 * max(extent.model.widths[1:])
            + 2 * CHUNK_BYTES,
        }
    )


def training_bytes(extent: Extent) -> dict[str, int]:
    """What minibatches hold while they are prepared and trained."""
    model, width, widths = extent.model, extent.manifest.num_features, extent.model.widths
    frontiers, edges = frontier_bounds(extent)
    input_matrices = 1 + bool(model.spec.input_dropout)
    layers = zip(frontiers[model.num_layers - 1 :: -1], widths, widths[1:], strict=False)
    return {
        **macrobatch_bytes(extent, frontiers[-1], sum(edges)),
        "input rows of a minibatch": frontiers[-1] * width * 4 * input_matrices,
        "activations of a minibatch": sum(20 * n * (before + after) for n, before, after in layers),
    }


def macrobatch_bytes(extent: Extent, frontier: int, num_edges: int) -> dict[str, int]:
    """What macrobatches hold, of which a minibatch has so many input vertices and edges."""
    options, overlap = extent.settings[Macrobatches], bool(extent.settings[Messages].overlap)
    row_bytes = _row_bytes(extent)
    num_remote = extent.manifest.num_vertices - extent.num_own

    def of_size(size: int) -> dict[str, int]:
        fetched = min(size * frontier, num_remote)
        return {
            "blocks of macrobatches": size * (1 + 2 * overlap) * EDGE_BYTES * num_edges,
            "fetched rows of macrobatches": 2 * fetched * row_bytes,
        }

    if options.macrobatch != "auto":
        return of_size(options.macrobatch)
    least, most = (sum(of_size(size).values()) for size in (1, MOST))
    return {"macrobatches": min(most, max(least, parse_bytes(options.macrobatch_memory)))}


def _row_bytes(extent: Extent) -> int:
    """Of a fetched input row, and its kept aggregate."""
    matrices = 1 + extent.settings[KeptInputs].is_kept
    return matrices * extent.manifest.num_features * extent.feature_dtype.itemsize


def shared_bytes(extent: Extent) -> int:
    """This rank's part of the topology that its node holds once, with --topology node-shared."""
    if extent.settings[Sampling].topology != "node-shared":
        return 0
    return -(-topology_bytes(extent.manifest, gcn=extent.gcn) // extent.ranks_per_node)


def cache_bytes(extent: Extent) -> tuple[int, int]:
    """Bytes of the copies of remote rows, and those held while they are chosen and fetched.

    Raises ConfigError when the feature cache is too small for a row.
    """
    manifest, num_own, budget = extent.manifest, extent.num_own, extent.settings[Sampling]
    if budget.feature_cache is None:
        return 0, 0
    id_bytes = manifest.id_dtype.itemsize
    row_bytes = _row_bytes(extent) + 4 * extent.gcn
    remote = manifest.num_vertices - num_own
    rows = min(capacity_of(parse_bytes(budget.feature_cache), row_bytes, id_bytes), remote)
    halo, sent = extent.halo_bounds()
    if manifest.directed:
        halo = remote
    column = 4 * (4 * num_own + halo + sent)
    scratch = max(column, min(row_cache.SCRATCH_BYTES, row_cache.MOST_RANKS * column))
    scratch += 40 * (num_own + halo + rows) + manifest.num_vertices // 4
    scratch += min(2 * row_cache.CHUNK_BYTES, 2 * manifest.num_vertices * row_bytes)
    return rows * (row_bytes + TABLE_SLOTS * (id_bytes + 4)), scratch


def frontier_bounds(extent: Extent) -> tuple[list[int], list[int]]:
    """Most vertices of this rank's frontiers, seeds first, and most edges of its hops."""
    manifest, sampling = extent.manifest, extent.settings[Sampling]
    of_shard = manifest.num_seeds[:, extent.settings[Training].split_index]
    frontiers, edges = [most_seeds(of_shard, extent.shards, extent.settings[Batches].size)], []
    for fanout in sampling.hops(extent.settings[KeptInputs]):
        drawn = frontiers[-1] * fanout if fanout > 0 else manifest.num_edges
        edges.append(min(drawn, manifest.num_edges))
        frontiers.append(min(frontiers[-1] + edges[-1], manifest.num_vertices))
    return frontiers, edges
