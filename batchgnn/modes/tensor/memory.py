"""Memory that a rank will need in mode tensor, before work starts; whether edges have to stream."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan, allowed_bytes
from batchgnn.graph.cut_rows import group_shards
from batchgnn.modes.extent import Extent
from batchgnn.modes.tensor.options import MOST_CHUNKS, Slices
from batchgnn.modes.whole.memory import PLANNING_BYTES, activation_bytes, cover_bytes
from batchgnn.nn.models import MODELS
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.general import Run
from batchgnn.store.shard_store import Manifest

WALK_BYTES = 32 << 20
"Of mapped edges that a rank holds at a time, where it gives their pages back."
ORDER = "the order in which rows are sent"


def plan_tensor(extent: Extent) -> MemoryPlan:
    """Peak bytes of mode tensor on a rank, by what holds them.

    The edges are mapped. They count where their pages are given back to stay within the memory
    that the rank may use, as far as they are held then.
    """
    manifest, parts = extent.manifest, _parts(extent)
    ways = _ways(extent)
    if ways != extent.num_ranks:
        groups = group_shards(manifest, extent.num_ranks, ways, extent.path)
        in_part = groups == extent.rank // ways
        num_edges = int(manifest.shard_edges[in_part].sum())
        num_edges += int(manifest.shard_vertices[in_part].sum())
        parts["edges of the group's part"] = num_edges * PLANNING_BYTES
        parts["what sums for others are made of"] = sum(cover_bytes(extent))
    elif is_frugal(extent):
        parts["mapped edges of a chunk"] = chunk_bytes(extent.settings[Slices], manifest)
        parts[ORDER] = order_bytes(manifest)  # one rank too walks in chunks then
    return MemoryPlan(parts)


def _ways(extent: Extent) -> int:
    """Ranks that slice the columns among themselves."""
    return extent.settings[Slices].tensor_ways or extent.num_ranks


def is_frugal(extent: Extent) -> bool:
    """Whether all edges in memory would be more than the rank may use."""
    allowed = allowed_bytes(extent.settings[Run].memory, extent.ranks_per_node)
    held = sum(_parts(extent).values())
    return held + edges_bytes(extent.manifest, extent.model.aggregation) > allowed


def edges_bytes(manifest: Manifest, aggregation: str) -> int:
    """Bytes of all edges, as far as products read them."""
    weighted = manifest.weighted and aggregation == "gcn"
    edge = manifest.id_dtype.itemsize + 4 * weighted
    one_way = 8 * manifest.num_vertices + edge * int(manifest.shard_edges.sum())
    return one_way * (1 + manifest.directed)


def walk_chunks(manifest: Manifest) -> int:
    """Chunks of which each has about WALK_BYTES of edges, with their weights."""
    return min(MOST_CHUNKS, -(-edges_bytes(manifest, "gcn") // WALK_BYTES))


def chunk_bytes(slices: Slices, manifest: Manifest) -> int:
    """Mapped edges of two chunks: the one being multiplied, and what is read ahead."""
    chunks = walk_chunks(manifest) if slices.chunks == "auto" else slices.chunks
    return 2 * edges_bytes(manifest, "gcn") // chunks


def order_bytes(manifest: Manifest) -> int:
    """Which rows each chunk is the first to need, while that is found out."""
    return 24 * manifest.num_vertices * (1 + manifest.directed)


def _parts(extent: Extent) -> dict[str, int]:
    """What is held besides mapped pages."""
    model, manifest, item = extent.model, extent.manifest, extent.itemsize
    num_vertices, num_own, num_ranks = manifest.num_vertices, extent.num_own, extent.num_ranks
    kept, _ = activation_bytes(model, num_own, 0, 0, item)
    kind, attends = MODELS[model.spec.model], model.aggregation == "attention"
    propagates, of_features = kind.propagates, not kind.learned_inputs
    widest, ways = max(model.widths[not of_features :]), _ways(extent)
    rows, exchanged = num_vertices, 0
    if ways != num_ranks:
        rows, exchanged = (num_own + 1) * ways, 2 * num_vertices * -(-widest // ways) * item
    slices = rows * -(-(model.widths[-1] if propagates else widest) // ways) * item
    packed = num_own * widest * item
    if propagates and attends:
        slices = (model.num_layers + 3) * slices // 2 + 8 * num_vertices * item
    elif propagates:
        slices += slices // 2 + 20 * num_vertices
    elif attends:
        slices += len(model.widths) * slices + 8 * num_vertices * model.spec.heads * item
    inputs = num_own * manifest.num_features * item
    if extent.settings[KeptInputs].is_kept:
        inputs *= 2 + (model.aggregation == "mean")
    return {
        **extent.held_bytes(per_vertex=64),
        "the first layer's input": inputs,
        **extent.table_bytes(),
        "activations and their gradients": int(buffers.GROWTH * kept),
        "own columns of all rows": int(buffers.GROWTH * 2 * slices),
        "rows on their way": int(buffers.GROWTH * (2 * packed + exchanged)),
        "pairs, their rows and gradients": extent.step_bytes(),
        ORDER: order_bytes(manifest) if num_ranks > 1 else 0,
    }
