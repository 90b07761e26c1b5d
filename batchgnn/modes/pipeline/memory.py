"""Memory that a stage will need, before work starts. Upper bounds."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.comm.pipe import AHEAD
from batchgnn.modes.extent import Extent
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.start import stage_bounds
from batchgnn.modes.whole.memory import PLANNING_BYTES, edge_bytes, kept_numbers, plan_halo_graph
from batchgnn.nn.model import staged
from batchgnn.sampling.options import KeptInputs

HISTORIES = "historical rows, fresh ones, and gradients"
MATRICES = 3
"Of an aggregation: fresh rows, historical ones, and gradients, of all vertices."


def plan_pipeline(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them: its layers, of all vertices.

    Edges are counted with GCN's and GAT's self-loops: all for the stage, own ones for what is
    exact. The shards are mapped. Raises ConfigError where so many ranks cannot be the stages.
    """
    model, manifest, item = extent.model, extent.manifest, extent.itemsize
    layers = _layers(extent)
    own_edges = extent.num_edges + extent.num_own
    all_edges = int(manifest.shard_edges.sum()) + manifest.num_vertices
    edges = (all_edges + own_edges) * edge_bytes(model, manifest.directed)
    held = extent.held_bytes(per_vertex=48)
    known = "what is known of own vertices"
    held["what is known of all vertices"] = (
        manifest.num_vertices * held[known] // max(extent.num_own, 1)
    )
    width = max(model.widths[1:]) * (1 + (model.spec.model == "gcnii"))
    heads = model.spec.heads if model.aggregation == "attention" else 0
    histories = MATRICES * len(layers) * manifest.num_vertices * (width + heads) * item
    chunk = int(manifest.shard_vertices.max(initial=0))
    halo, sent = extent.halo_bounds()
    exact = (halo + sent + 8 * extent.num_own + 2 * manifest.num_vertices) * width * item
    preparing = max(all_edges * PLANNING_BYTES - edges, sum(extent.kept_bytes()))
    activations = int(buffers.GROWTH * _activations(extent, layers, chunk))
    plan = MemoryPlan(
        {
            **held,
            "edges": edges,
            HISTORIES: histories,
            "activations and their gradients": activations,
            "rows on their way": int(buffers.GROWTH * (2 * AHEAD + 2) * chunk * width * item),
            "the first layer's input": _inputs(extent, layers, chunk),
            "exact rows, to begin with and to evaluate": int(buffers.GROWTH * exact),
            "making the operators, beyond what training needs": max(
                0, preparing - histories - activations
            ),
        }
    )
    if extent.settings[Stages].guard_every:
        more = plan_halo_graph(extent).total - plan.total
        plan.parts["exact training, should rows drift, beyond that"] = max(0, more)
    return plan


def _layers(extent: Extent) -> range:
    bounds = stage_bounds(extent.model.num_layers, extent.num_ranks)
    return range(int(bounds[extent.rank]), int(bounds[extent.rank + 1]))


def _activations(extent: Extent, layers: range, chunk: int) -> int:
    """What forward keeps of all chunks, and what backward makes of one."""
    model, rows, item = extent.model, extent.manifest.num_vertices, extent.itemsize
    is_first, is_last = layers.start == 0, layers.stop == model.num_layers
    widths = model.widths
    places = range(layers.start, layers.stop + (len(widths) - 1 - model.num_layers))
    of_row = sum(kept_numbers(model, n) for n in places)
    if model.aggregation == "attention":
        of_row += len(layers) * (max(widths[1:]) + 3 * model.spec.heads)
    temporary = (6 + model.spec.residual) * max(widths[1:]) * chunk
    logits = 4 * widths[-1] * rows * is_last
    if not extent.settings[Stages].recompute:
        return (rows * of_row + temporary + logits) * item
    entering = 0 if is_first else staged(model).entering_width(layers.start)
    return (chunk * of_row + rows * entering + temporary + logits) * item


def _inputs(extent: Extent, layers: range, chunk: int) -> int:
    """Kept aggregation of own vertices, and of all on the first stage; or a chunk's features."""
    own = extent.num_own * extent.manifest.num_features * extent.itemsize
    is_first, kept = layers.start == 0, extent.settings[KeptInputs].is_kept
    rows = extent.manifest.num_vertices if kept else 2 * chunk
    all_rows = rows * extent.manifest.num_features * extent.itemsize * is_first
    beside = 2 if kept and extent.model.aggregation == "mean" else 1
    return beside * (2 * own + 2 * all_rows)
