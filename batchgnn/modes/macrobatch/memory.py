"""Memory that a rank will need to train on samples and evaluate: hardly ever more.

What no option says is chosen here, so that it fits: the macrobatches of --macrobatch auto, and the
chunks of the exact evaluation.
"""

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan, parse_bytes
from batchgnn.modes.activations import evaluated_layer, gradient_sums, trained_layer
from batchgnn.modes.extent import Extent
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.macrobatch.size import EDGE_BYTES, MOST
from batchgnn.modes.options import Messages
from batchgnn.sampling import row_cache
from batchgnn.sampling.inference import CHUNK_BYTES, KEPT_BYTES, most_rows
from batchgnn.sampling.options import Batches, KeptInputs, Sampling
from batchgnn.sampling.row_cache import TABLE_SLOTS, capacity_of
from batchgnn.sampling.sampler import table_bytes
from batchgnn.sampling.schedule import most_seeds, num_steps
from batchgnn.sampling.topology import topology_bytes
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest

MACROBATCH_BYTES = 1 << 30
"What --macrobatch auto takes at most, where nothing is said."
LEAST_CHUNK_BYTES = 8 << 20
MARGIN = 1.2
"Over what random edges have."
SOURCES, SEEDS = 2, 3
"Rows of `Manifest.degree_count`: of vertices that edges lead to, of the first split's seeds."
OPERATOR_BYTES = 64
"What an edge takes in a chunk's block and operator; an upper bound."

MACROBATCHES, BLOCKS, FETCHED = (
    "macrobatches",
    "blocks of macrobatches",
    "fetched rows of macrobatches",
)
ACTIVATIONS = "activations of a minibatch"
TABLE, MOVED = "trained rows, their moments and the best", "rows of a minibatch and their gradients"
COPY, CACHE, KEPT = "a copy of the own features", "copies of remote rows", "aggregated inputs"
PAIRS = "pairs, their rows and gradients"
EVALUATION = "the exact evaluation, beyond what training needs"

OF_PART = {
    MACROBATCHES: "Lower --macrobatch-memory, --batch-size or --fanouts.",
    BLOCKS: "Lower --macrobatch, --batch-size or --fanouts.",
    FETCHED: "Lower --macrobatch, --batch-size or --fanouts.",
    ACTIVATIONS: "Lower --batch-size, --fanouts or --hidden.",
    TABLE: "Lower --input-width.",
    MOVED: "Lower --input-width, --batch-size or --fanouts.",
    PAIRS: "Lower --batch-size, --negatives or --embedding.",
    COPY: "Take --features mapped.",
    CACHE: "Lower --feature-cache.",
    KEPT: "Take --aggregate-memory, or --aggregate-cache store.",
    EVALUATION: "Lower --evaluation-memory or --hidden.",
}


def plan_macrobatch(extent: Extent) -> MemoryPlan:
    """Peak bytes of mode macrobatch on a rank, by what holds them.

    What seeds draw is taken as of the mean of all seeds, what later hops draw, and how many sources
    are the same, as of random edges: with a margin, and never above what can be.
    The rest of the shards is mapped: the operating system may drop their pages at any time.
    """
    return _plan(extent, *_chosen(extent))


def fit_macrobatch(extent: Extent) -> Settings:
    """The settings with sizes where there were none, which fit where any do."""
    macrobatches, chunk = _chosen(extent)
    return extent.settings.replace(
        macrobatch_memory=str(macrobatches), evaluation_memory=str(chunk)
    )


def evaluation_chunk(settings: Settings) -> int:
    """Bytes of a chunk of the exact evaluation."""
    said = settings[Macrobatches].evaluation_memory
    return CHUNK_BYTES if said is None else parse_bytes(said)


def _chosen(extent: Extent) -> tuple[int, int]:
    """Bytes of all macrobatches and of a chunk of the evaluation: as said, else what is left."""
    options, allowed = extent.settings[Macrobatches], extent.allowed
    macrobatches, chunk = MACROBATCH_BYTES, evaluation_chunk(extent.settings)
    if options.evaluation_memory is None:
        while chunk > LEAST_CHUNK_BYTES and _plan(extent, 1, chunk).total > allowed:
            chunk //= 2
    if options.macrobatch_memory is not None:
        macrobatches = parse_bytes(options.macrobatch_memory)
    elif options.macrobatch == "auto":
        while macrobatches > 1 and _plan(extent, macrobatches, chunk).total > allowed:
            macrobatches //= 2
    return macrobatches, chunk


def _plan(extent: Extent, macrobatches: int, chunk: int) -> MemoryPlan:
    """The plan with so many bytes for macrobatches, where these go by bytes, and for a chunk."""
    copies, choosing = cache_bytes(extent)
    kept, computing = extent.kept_bytes()
    training = training_bytes(extent, macrobatches)
    held = sum(training.values())
    evaluating = evaluation_bytes(extent, chunk)
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=40),
            "tables of vertex ids": tables_bytes(extent),
            **own_rows_bytes(extent),
            "this rank's part of the node's shared topology": shared_bytes(extent),
            CACHE: copies,
            KEPT: kept,
            "preparing them, beyond what training needs": max(0, choosing - held, computing - held),
            **training,
            PAIRS: extent.step_bytes(most_step_seeds(extent)),
            EVALUATION: max(0, evaluating - held),
        }
    )


def training_bytes(extent: Extent, macrobatches: int) -> dict[str, int]:
    """What minibatches hold while they are prepared and trained."""
    model = extent.model
    frontiers, edges = frontier_sizes(extent)
    blocks = list(zip(frontiers, [*frontiers[1:], frontiers[-1]], [*edges, 0], strict=True))
    constant = not inputs_of(extent.settings).is_trained
    layers = [
        trained_layer(model, n, *blocks[model.num_layers - 1 - n], constant=constant and n == 0)
        for n in range(model.num_layers)
    ]
    numbers = sum(kept for kept, _ in layers) + max(passing for _, passing in layers)
    numbers += gradient_sums(model, frontiers[-1]) + 3 * frontiers[0] * model.widths[-1]
    numbers += 2 * bool(model.spec.input_dropout) * frontiers[-1] * model.widths[0]
    return {
        **macrobatch_bytes(extent, frontiers[-1], sum(edges), macrobatches),
        ACTIVATIONS: int(buffers.GROWTH * extent.itemsize * numbers),
        **moved_bytes(extent, frontiers[-1], sum(edges)),
    }


def own_rows_bytes(extent: Extent) -> dict[str, int]:
    """Own input rows in memory: copied features, or trained ones, two moments and the best."""
    held = extent.copied_feature_bytes
    return {TABLE: 4 * held} if inputs_of(extent.settings).is_trained else {COPY: held}


def moved_bytes(extent: Extent, frontier: int, num_edges: int) -> dict[str, int]:
    """Of trained rows in a step: those of its input vertices; gradients by whose rows they are.

    The gradient of the rows themselves counts as the first layer's.
    """
    if not inputs_of(extent.settings).is_trained:
        return {}
    remote = min(frontier, usually_remote(extent, num_edges))
    met = min(frontier + remote, extent.num_own)
    rows = frontier + 2 * remote + (frontier + remote) + met
    return {MOVED: int(buffers.GROWTH * rows * extent.manifest.num_features * extent.itemsize)}


def macrobatch_bytes(extent: Extent, frontier: int, num_edges: int, budget: int) -> dict[str, int]:
    """What macrobatches hold, of which a minibatch has so many input vertices and edges.

    budget: with --macrobatch auto, unless one minibatch takes more
    """
    options, overlap = extent.settings[Macrobatches], bool(extent.settings[Messages].overlap)
    row_bytes = 0 if inputs_of(extent.settings).is_trained else _row_bytes(extent)
    num_remote = extent.manifest.num_vertices - extent.num_own
    remote = min(frontier, usually_remote(extent, num_edges))
    steps = num_steps(extent.num_seeds, extent.settings[Batches].size)

    def of_size(size: int) -> dict[str, int]:
        fetched = min(size * remote, num_remote)
        minibatches = min(size * (1 + 2 * overlap), steps)
        macrobatches = min(1 + overlap, -(-steps // size))
        return {
            BLOCKS: minibatches * EDGE_BYTES * num_edges,
            FETCHED: int(buffers.GROWTH * macrobatches * fetched * row_bytes),
        }

    if options.macrobatch != "auto":
        return of_size(options.macrobatch)
    least, most = (sum(of_size(size).values()) for size in (1, MOST))
    return {MACROBATCHES: min(most, max(least, budget))}


def evaluation_bytes(extent: Extent, chunk: int) -> int:
    """Two layers of all own vertices, and a chunk of the one that is computed."""
    model, manifest, num_own = extent.model, extent.manifest, extent.num_own
    edges = extent.num_edges + num_own
    rows = min(most_rows(chunk, [manifest.num_features, *model.widths]), edges)
    sources, targets = min(rows, manifest.num_vertices), min(rows, num_own)
    far = min(rows, manifest.num_vertices - num_own)
    whole = max(
        (n > 0) * before + after
        for n, (before, after) in enumerate(zip(model.widths, model.widths[1:], strict=False))
    )
    numbers = max(
        far * model.widths[n] + evaluated_layer(model, n, targets, sources, rows)
        for n in range(model.num_layers)
    )
    blocks = min(edges, 2 * rows if 32 * edges > KEPT_BYTES else edges)
    return int(4 * (num_own * whole + buffers.GROWTH * numbers)) + OPERATOR_BYTES * blocks


def tables_bytes(extent: Extent) -> int:
    """Of the samplers' and the planners' tables, in training and in evaluation."""
    manifest, (frontiers, _) = extent.manifest, frontier_sizes(extent)
    each = table_bytes(manifest.num_vertices, manifest.id_dtype, frontiers[-1])
    all_together = table_bytes(manifest.num_vertices, manifest.id_dtype, MOST * frontiers[-1])
    return 2 * (min(extent.threads, MOST) * each + all_together)


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


def frontier_sizes(extent: Extent) -> tuple[list[int], list[int]]:
    """Vertices of this rank's frontiers, seeds first, and edges of its hops: hardly ever more."""
    manifest, sampling = extent.manifest, extent.settings[Sampling]
    seeds = most_step_seeds(extent)
    roots = int(extent.task.most_roots(extent.settings, seeds, min(len(extent.shards), seeds)))
    frontiers, edges = [min(roots, manifest.num_vertices)], list[int]()
    like = SEEDS + extent.settings[Training].split_index
    if extent.task.far_roots:
        like = SOURCES
    for fanout in sampling.hops(extent.settings[KeptInputs]):
        usual = usually_drawn(manifest, frontiers[-1], fanout, like)
        drawn = min(most_drawn(manifest, frontiers[-1], fanout), int(MARGIN * usual))
        like = SOURCES
        sources = min(drawn, int(MARGIN * usual_sources(manifest, drawn)))
        edges.append(drawn)
        frontiers.append(min(frontiers[-1] + sources, manifest.num_vertices))
    return frontiers, edges


def most_step_seeds(extent: Extent) -> int:
    """Seeds of a step on this rank, at most."""
    return most_seeds(extent.num_seeds, extent.shards, extent.settings[Batches].size)


def usually_remote(extent: Extent, drawn: int) -> int:
    """Sources that others own, of so many edges that this rank's samples have: seldom more.

    A walk from a seed has left the own shards if one of its edges did, each as often as edges do.
    """
    manifest, own = extent.manifest, extent.shards
    shard = np.repeat(np.arange(manifest.num_shards), np.diff(manifest.quotient_indptr))
    leaves = np.isin(shard, own) & ~np.isin(manifest.quotient_indices, own)
    arcs = int(manifest.quotient_weight[leaves].sum())
    into = arcs if manifest.directed else arcs / 2
    share = min(into / max(extent.num_edges, 1), 1)
    hops = len(extent.settings[Sampling].hops(extent.settings[KeptInputs]))
    return int(MARGIN * drawn * (1 - (1 - share) ** hops))


def most_drawn(manifest: Manifest, targets: int, fanout: int) -> int:
    """Edges that so many vertices draw at most, whichever they are; fanout < 0: all of them."""
    if fanout < 0:
        return manifest.num_edges
    count = manifest.degree_count[0]
    if not len(count):
        return min(targets * fanout, manifest.num_edges)
    taken = np.minimum(np.cumsum(count[::-1]), targets)
    return int(np.diff(taken, prepend=0) @ _drawn(count, fanout)[::-1])


def usually_drawn(manifest: Manifest, targets: int, fanout: int, like: int) -> float:
    """Edges that so many vertices draw, which are like those of a row of `degree_count`."""
    count = manifest.degree_count[like]
    if fanout < 0 or not len(count):
        return manifest.num_edges
    return targets * float(count @ _drawn(count, fanout)) / max(int(count.sum()), 1)


def usual_sources(manifest: Manifest, drawn: int) -> float:
    """Distinct sources of so many random edges."""
    count = manifest.degree_count[1]
    if not len(count):
        return drawn
    share = np.arange(len(count)) / max(manifest.num_edges, 1)
    hit = 1 - (1 - np.minimum(share, 1)) ** drawn
    hit[-1] = 1
    return float(count @ hit)


def _drawn(count: np.ndarray, fanout: int) -> np.ndarray:
    """By in-degree: edges that a vertex draws."""
    drawn = np.minimum(np.arange(len(count)), fanout)
    drawn[-1] = fanout
    return drawn
