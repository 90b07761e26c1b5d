"""Memory that a rank will need to train and evaluate, before work starts. Upper bounds."""

import psutil

from batchgnn.base.bytes import MemoryPlan, parse_bytes
from batchgnn.modes.macrobatch.size import EDGE_BYTES, MOST
from batchgnn.sampling import kept_inputs, row_cache
from batchgnn.sampling.inference import CHUNK_BYTES
from batchgnn.sampling.row_cache import TABLE_SLOTS, capacity_of
from batchgnn.sampling.some_kept_inputs import rows_within
from batchgnn.sampling.topology import topology_bytes

INTERPRETER_BYTES = 400 << 20
"Python, libraries, compiled kernels and MPI's buffers."


def plan_memory(session) -> MemoryPlan:
    """Peak bytes of `mode macrobatch` on this rank, by what holds them; session: a Session.

    A frontier holds at most seeds x product of (fanout + 1) vertices, and at most all vertices.
    The rest of the shards is mapped: the operating system may drop its pages at any time.
    """
    settings, model, own = session.settings, session.model, session.own
    width, widths = session.manifest.num_features, model.widths
    frontiers, edges = frontier_bounds(session)
    matrices = 1 + (settings.aggregate_cache != "off")
    row_bytes = matrices * width * own.feature_dtype.itemsize
    num_remote = session.manifest.num_vertices - own.num_own

    def macrobatch(size: int) -> dict[str, int]:
        fetched = min(size * frontiers[-1], num_remote)
        return {
            "blocks of macrobatches": size * (1 + 2 * settings.overlap) * EDGE_BYTES * sum(edges),
            "fetched rows of macrobatches": 2 * fetched * row_bytes,
        }

    if settings.macrobatch == "auto":
        least, most = (sum(macrobatch(size).values()) for size in (1, MOST))
        budget = parse_bytes(settings.macrobatch_memory)
        together = {"macrobatches": min(most, max(least, budget))}
    else:
        together = macrobatch(settings.macrobatch)
    training = {
        **together,
        "input rows of a minibatch": frontiers[-1] * width * 4 * (1 + bool(settings.input_dropout)),
        "activations of a minibatch": sum(
            20 * n * (before + after)
            for n, before, after in zip(
                frontiers[model.num_layers - 1 :: -1], widths, widths[1:], strict=False
            )
        ),
    }
    copies, choosing = cache_bytes(session)
    aggregated, computing = aggregate_bytes(session)
    preparing = max(choosing, computing) - sum(training.values())
    return MemoryPlan(
        {
            "the interpreter and its libraries": INTERPRETER_BYTES,
            "parameters, gradients and moments": 7 * model.parameters.buffer.nbytes,
            "labels, splits and ids": int(own.label.nbytes + own.split.nbytes + 40 * own.num_own),
            "a copy of the own features": own.copied_feature_bytes,
            "this rank's part of the node's shared topology": shared_bytes(session),
            "copies of remote rows": copies,
            "aggregated inputs": aggregated,
            "preparing them, beyond what training needs": max(0, preparing),
            **training,
            "layers of the exact evaluation": 2 * own.num_own * 4 * max(widths[1:])
            + 2 * CHUNK_BYTES,
        }
    )


def shared_bytes(session) -> int:
    """This rank's part of the topology that its node holds once, with --topology node-shared."""
    settings = session.settings
    if settings.topology != "node-shared":
        return 0
    whole = topology_bytes(session.manifest, gcn=settings.model == "gcn")
    return -(-whole // session.grid.node_size)


def cache_bytes(session) -> tuple[int, int]:
    """Bytes of the copies of remote rows, and those held while they are chosen and fetched.

    Raises ConfigError when the feature cache is too small for a row.
    """
    settings, manifest, own = session.settings, session.manifest, session.own
    if settings.feature_cache is None:
        return 0, 0
    id_bytes = manifest.id_dtype.itemsize
    matrices = 1 + (settings.aggregate_cache != "off")
    row_bytes = matrices * manifest.num_features * own.feature_dtype.itemsize
    row_bytes += 4 * (settings.model == "gcn")
    remote = manifest.num_vertices - own.num_own
    rows = min(capacity_of(parse_bytes(settings.feature_cache), row_bytes, id_bytes), remote)
    halo, sent = halo_bounds(session)
    if manifest.directed:
        halo = remote
    column = 4 * (4 * own.num_own + halo + sent)
    scratch = max(column, min(row_cache.SCRATCH_BYTES, row_cache.MOST_RANKS * column))
    scratch += 40 * (own.num_own + halo + rows) + manifest.num_vertices // 4
    scratch += min(2 * row_cache.CHUNK_BYTES, 2 * manifest.num_vertices * row_bytes)
    return rows * (row_bytes + TABLE_SLOTS * (id_bytes + 4)), scratch


def aggregate_bytes(session) -> tuple[int, int]:
    """Bytes of aggregated inputs, and those held while they are computed; files are mapped.

    Raises ConfigError when --aggregate-memory is too small for a row.
    """
    settings, manifest, own = session.settings, session.manifest, session.own
    if settings.aggregate_cache == "off":
        return 0, 0
    row_bytes = manifest.num_features * own.feature_dtype.itemsize
    halo, sent = halo_bounds(session)
    column = (halo + sent) * own.feature_dtype.itemsize
    block = max(column, min(kept_inputs.BLOCK_BYTES, column * manifest.num_features))
    scratch = block + 4 * kept_inputs.CHUNK_BYTES + kept_inputs.PIECE_ROWS * row_bytes
    scratch += 40 * (own.num_own + halo) + 8 * sent + manifest.num_vertices // 4
    kept = own.num_own if settings.aggregate_cache == "memory" else 0
    if settings.aggregate_memory is not None:
        kept = min(kept, rows_within(parse_bytes(settings.aggregate_memory), row_bytes))
        scratch += 40 * own.num_own
    return kept * row_bytes, scratch


def halo_bounds(session) -> tuple[int, int]:
    """Most distinct sources of this rank's edges that others own; most rows that it sends them."""
    manifest, own = session.manifest, session.own
    halo = int(manifest.num_halo[own.shards].sum())
    num_ranks = int(own.ownership.rank_of_shard.max()) + 1
    sent = min(int(manifest.num_halo.sum()), own.num_own * num_ranks)
    return min(halo, manifest.num_vertices - own.num_own), sent


def allowed_bytes(memory: str | None, ranks_on_node: int) -> int:
    """What a rank may use: as set, else its share of the memory that the node has free."""
    if memory is not None:
        return parse_bytes(memory)
    return psutil.virtual_memory().available // ranks_on_node


def frontier_bounds(session) -> tuple[list[int], list[int]]:
    """Most vertices of this rank's frontiers, seeds first, and most edges of its hops."""
    manifest, settings, own = session.manifest, session.settings, session.own
    own_seeds = manifest.num_seeds[own.shards, settings.split_index]
    num_steps = max(
        1, -(-int(manifest.num_seeds[:, settings.split_index].sum()) // settings.batch_size)
    )
    frontiers, edges = [int((-(-own_seeds // num_steps)).sum())], []
    for fanout in settings.hops:
        drawn = frontiers[-1] * fanout if fanout > 0 else manifest.num_edges
        edges.append(min(drawn, manifest.num_edges))
        frontiers.append(min(frontiers[-1] + edges[-1], manifest.num_vertices))
    return frontiers, edges
