"""Memory that a stage will need, before work starts. Upper bounds."""

from dataclasses import dataclass, replace

import numpy as np

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.comm.pipe import AHEAD
from batchgnn.modes.extent import Extent
from batchgnn.modes.pipeline.layout import layout_of
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.whole.memory import (
    PLANNING_BYTES,
    cover_bytes,
    edge_bytes,
    kept_numbers,
    plan_halo_graph,
)
from batchgnn.nn.model import staged
from batchgnn.sampling.options import KeptInputs

HISTORIES = "historical rows, fresh ones, and gradients"


@dataclass(frozen=True)
class Part:
    """What a rank has in its stage.

    layers     of its stage
    rows       vertices of its way: all where there are no others
    far        most rows of other ways that it reads
    num_edges  into its vertices, with a loop each
    chunk      most vertices of a chunk that it takes; swapped: most rows of others in one
    """

    layers: range
    rows: int
    far: int
    num_edges: int
    chunk: int
    swapped: int


def part_of(extent: Extent) -> Part:
    """Of the extent's rank."""
    manifest, model = extent.manifest, extent.model
    layout = layout_of(extent.settings, manifest, model, extent.num_ranks)
    way, ways = extent.rank % layout.ways, range(layout.ways)
    shards = slice(*layout.shards[way : way + 2].tolist())
    rows = int(manifest.shard_vertices[shards].sum())
    far = min(int(manifest.num_halo[shards].sum()), manifest.num_vertices - rows)
    sizes = [int(np.diff(layout.chunk_bounds(w)).max(initial=0)) for w in ways]
    return Part(
        layout.layers_of(extent.rank),
        rows,
        far,
        int(manifest.shard_edges[shards].sum()) + rows,
        sizes[way],
        sum(sizes) - sizes[way],
    )


def plan_pipeline(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them: its layers, of all vertices of its way.

    Edges are counted with GCN's and GAT's self-loops: all of the way's for the stage, own ones for
    what is exact. The shards are mapped.
    """
    if extent.settings[Stages].wavefront:
        return _plan_wavefront(extent)
    model, manifest, item = extent.model, extent.manifest, extent.itemsize
    part = part_of(extent)
    own_edges = extent.num_edges + extent.num_own
    edges = own_edges * edge_bytes(model, manifest.directed)
    edges += part.num_edges * edge_bytes(model, manifest.directed or part.far > 0)
    held = extent.held_bytes(per_vertex=48)
    known = "what is known of own vertices"
    held["what is known of the stage's vertices"] = (
        (part.rows + part.far) * held[known] // max(extent.num_own, 1)
    )
    width = max(model.widths[1:]) * (1 + (model.spec.model == "gcnii"))
    heads = model.spec.heads if model.aggregation == "attention" else 0
    sources = part.rows + part.far
    histories = (2 * sources + part.rows) * len(part.layers) * (width + heads) * item
    halo, sent = extent.halo_bounds()
    exact = (halo + sent + 8 * extent.num_own + 2 * part.rows) * width * item
    exact += sources * width * item * (part.far > 0)  # rows of other ways, beside own ones
    sums, summing = cover_bytes(extent)
    making = max(part.num_edges * PLANNING_BYTES - edges, summing)
    preparing = max(making, sum(extent.kept_bytes()))
    activations = int(buffers.GROWTH * _activations(extent, part))
    passing = (2 * AHEAD + 2) * part.chunk + 4 * part.swapped
    plan = MemoryPlan(
        {
            **held,
            "edges": edges,
            "what sums for others are made of": sums,
            HISTORIES: histories,
            "activations and their gradients": activations,
            "rows on their way": int(buffers.GROWTH * passing * width * item),
            "the first layer's input": _inputs(extent, part),
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


WAVE_EDGE_BYTES = 48
"Of an edge of a chunk's block: source, with and without its loop, weight, and the transpose's."


def _plan_wavefront(extent: Extent) -> MemoryPlan:
    """As of `plan_pipeline`: rows that enter a layer are kept, of all vertices, and no history.

    A chunk's block has the rows of its in-neighbours too: all blocks together have so many sources
    more, whose rows attention keeps, and a last layer that is much narrower. Beside it is what
    exact evaluation needs.
    """
    model, manifest, item = extent.model, extent.manifest, extent.itemsize
    part, exact = part_of(extent), plan_halo_graph(extent)
    sources = part.rows + int(manifest.num_halo.sum())
    width = max(model.widths[1:]) * (1 + (model.spec.model == "gcnii"))
    edge = WAVE_EDGE_BYTES
    if model.aggregation == "attention":
        edge += 2 * 8 * model.spec.heads * len(part.layers)
    rows = (len(part.layers) + 2) * part.rows * width * item
    attends = model.aggregation == "attention"
    activations = _activations(extent, replace(part, rows=sources) if attends else part)
    activations += 0 if attends else (sources - part.rows) * width * item
    inputs, making = _wave_inputs(extent, part, sources)
    known = exact.parts["what is known of own vertices"] // max(extent.num_own, 1)
    beside = {
        "edges of the chunks": part.num_edges * edge,
        "rows that enter the layers": rows,
        "what is known of the chunks' vertices": sources * known,
        "activations of the chunks": int(buffers.GROWTH * activations),
        "rows on their way": int(buffers.GROWTH * (2 * AHEAD + 2) * part.chunk * width * item),
        "the chunks' input": inputs,
        "making it, beyond what training needs": max(0, making - rows - activations),
    }
    return MemoryPlan(exact.parts | beside)


def _wave_inputs(extent: Extent, part: Part, sources: int) -> tuple[int, int]:
    """Bytes of what the first layer reads and keeps of all chunks, and while that is made."""
    if part.layers.start > 0:
        return 0, 0
    beside = 2 if extent.model.aggregation == "mean" else 1
    if extent.settings[KeptInputs].is_kept:
        kept = beside * _features(extent, part.rows)
        return kept, kept
    most = part.chunk + int(extent.manifest.num_halo.max(initial=0))
    return beside * _features(extent, sources) + 2 * _features(extent, most), 0


def _activations(extent: Extent, part: Part) -> int:
    """What forward keeps of all chunks, and what backward makes of one."""
    model, rows, item = extent.model, part.rows, extent.itemsize
    layers, chunk = part.layers, part.chunk
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


def _inputs(extent: Extent, part: Part) -> int:
    """Kept aggregation of own vertices, and of the first stage's; or a chunk's features."""
    own = _features(extent, extent.num_own)
    is_first, kept = part.layers.start == 0, extent.settings[KeptInputs].is_kept
    rows = part.rows if kept else 2 * part.chunk
    all_rows = _features(extent, rows) * is_first
    beside = 2 if kept and extent.model.aggregation == "mean" else 1
    return beside * (2 * own + 2 * all_rows)


def _features(extent: Extent, num_rows: int) -> int:
    """Bytes of so many input rows."""
    return num_rows * extent.manifest.num_features * extent.itemsize
