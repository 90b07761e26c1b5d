"""Memory that a rank will need in mode tensor, before work starts; whether edges have to stream."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.graph.cut_rows import group_shards
from batchgnn.modes.macrobatch.memory import INTERPRETER_BYTES, allowed_bytes
from batchgnn.modes.whole.memory import PLANNING_BYTES, activation_bytes

WALK_BYTES = 32 << 20
"Of mapped edges that a rank holds at a time, where it gives their pages back."
MOST_CHUNKS = 1 << 14
ORDER = "the order in which rows are sent"


def plan_tensor(session) -> MemoryPlan:
    """Peak bytes of `mode tensor` on this rank, by what holds them; session: a Session.

    The edges are mapped. They count where their pages are given back to stay within the memory
    that the rank may use, as far as they are held then.
    """
    settings, own, model = session.settings, session.own, session.model
    parts = _parts(settings, own, model, session.grid.size)
    if is_grid(settings, session.grid.size):
        groups = group_shards(
            session.manifest, session.grid.size, settings.tensor_ways, session.own.path
        )
        in_part = groups == session.grid.rank // settings.tensor_ways
        num_edges = int(session.manifest.shard_edges[in_part].sum())
        num_edges += int(session.manifest.shard_vertices[in_part].sum())
        parts["edges of the group's part"] = num_edges * PLANNING_BYTES
    elif is_frugal(settings, session.grid.node_size, own, model, session.grid.size):
        parts["mapped edges of a chunk"] = chunk_bytes(settings, session.manifest)
        parts[ORDER] = order_bytes(session.manifest)  # one rank too walks in chunks then
    return MemoryPlan(parts)


def is_grid(settings, num_ranks: int) -> bool:
    """Whether ranks are several groups."""
    return settings.tensor_ways not in (None, num_ranks)


def is_frugal(settings, ranks_on_node: int, own, model, num_ranks: int) -> bool:
    """Whether all edges in memory would be more than the rank may use."""
    allowed = allowed_bytes(settings.memory, ranks_on_node)
    held = sum(_parts(settings, own, model, num_ranks).values())
    return held + topology_bytes(own.manifest, model.aggregation) > allowed


def topology_bytes(manifest, aggregation: str) -> int:
    """Bytes of all edges, as far as products read them."""
    weighted = manifest.weighted and aggregation == "gcn"
    edge = manifest.id_dtype.itemsize + 4 * weighted
    one_way = 8 * manifest.num_vertices + edge * int(manifest.shard_edges.sum())
    return one_way * (1 + manifest.directed)


def walk_chunks(manifest) -> int:
    """Chunks of which each has about WALK_BYTES of edges, with their weights."""
    return min(MOST_CHUNKS, -(-topology_bytes(manifest, "gcn") // WALK_BYTES))


def chunk_bytes(settings, manifest) -> int:
    """Mapped edges of two chunks: the one being multiplied, and what is read ahead."""
    chunks = walk_chunks(manifest) if settings.chunks == "auto" else settings.chunks
    return 2 * topology_bytes(manifest, "gcn") // chunks


def order_bytes(manifest) -> int:
    """Which rows each chunk is the first to need, while that is found out."""
    return 24 * manifest.num_vertices * (1 + manifest.directed)


def _parts(settings, own, model, num_ranks: int) -> dict[str, int]:
    """What is held besides mapped pages."""
    num_vertices, item = own.manifest.num_vertices, model.parameters.buffer.itemsize
    kept, _ = activation_bytes(model, own.num_own, 0, 0, item)
    widest = max(model.widths)
    ways, rows, exchanged = num_ranks, num_vertices, 0
    if is_grid(settings, num_ranks):
        ways = settings.tensor_ways
        rows, exchanged = (own.num_own + 1) * ways, 2 * num_vertices * -(-widest // ways) * item
    slices = rows * -(-(model.widths[-1] if settings.decoupled else widest) // ways) * item
    packed = own.num_own * widest * item
    if settings.decoupled and model.aggregation == "attention":
        slices = (model.num_layers + 3) * slices // 2 + 8 * num_vertices * item
    elif settings.decoupled:
        slices += slices // 2 + 20 * num_vertices
    elif model.aggregation == "attention":
        heads = settings.heads
        slices += len(model.widths) * slices + 8 * num_vertices * heads * item
    inputs = own.num_own * own.manifest.num_features * item
    if settings.aggregate_cache != "off":
        inputs *= 2 + (model.aggregation == "mean")
    return {
        "the interpreter and its libraries": INTERPRETER_BYTES,
        "parameters, gradients and moments": 7 * model.parameters.buffer.nbytes,
        "labels, splits and ids": int(own.label.nbytes + own.split.nbytes + 64 * own.num_own),
        "the first layer's input": inputs,
        "activations and their gradients": int(buffers.GROWTH * kept),
        "own columns of all rows": int(buffers.GROWTH * 2 * slices),
        "rows on their way": int(buffers.GROWTH * (2 * packed + exchanged)),
        ORDER: order_bytes(own.manifest) if num_ranks > 1 else 0,
    }
