"""Memory that a rank will need to train and evaluate on the whole graph, before work starts."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.activations import gradient_sums
from batchgnn.modes.extent import Extent
from batchgnn.modes.options import Halo
from batchgnn.nn.model import Model
from batchgnn.nn.models import MODELS
from batchgnn.sampling.options import KeptInputs

PLANNING_BYTES = 44
"Of an edge, while the parts of the operator are made: rows, loops, weights, places, and the parts."


COVERING_BYTES = 88
"Likewise, of an edge to or from another rank, beyond those: terms of sums, in order, and sent."


def plan_halo_graph(extent: Extent) -> MemoryPlan:
    """Peak bytes of graph parallelism on a rank, by what holds them.

    Edges are counted with GCN's and GAT's self-loops. The shards are mapped: the operating system
    may drop their pages at any time.
    """
    model, num_own = extent.model, extent.num_own
    num_edges = extent.num_edges + num_own
    edges = num_edges * edge_bytes(model, extent.manifest.directed)
    sums, summing = cover_bytes(extent)
    kept, exchanged = activation_bytes(model, num_own, *extent.halo_bounds(), extent.itemsize)
    inputs = num_own * extent.manifest.num_features * extent.itemsize
    if extent.settings[KeptInputs].is_kept and model.aggregation == "mean":
        inputs *= 2
    training = buffers.GROWTH * (kept + exchanged)
    making = max(num_edges * PLANNING_BYTES - edges, summing)
    preparing = max(making, sum(extent.kept_bytes()))
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=48),
            "edges": edges,
            "what sums for others are made of": sums,
            "rows of the halo, and those for others": int(buffers.GROWTH * exchanged),
            "the first layer's input": inputs,
            **extent.table_bytes(),
            "activations and their gradients": int(buffers.GROWTH * kept),
            "pairs, their rows and gradients": extent.step_bytes(),
            "making the operators, beyond what training needs": max(0, int(preparing - training)),
        }
    )


def cover_bytes(extent: Extent) -> tuple[int, int]:
    """Bytes of the terms of sums that a rank sends; and those held while it finds out, beyond that.

    A term is an own row, with gcn a weight, there and back; there are at most as many as edges.
    """
    if not extent.settings[Halo].covers or extent.num_ranks == 1:
        return 0, 0
    far, (_, sent) = extent.far_edges(), extent.halo_bounds()
    held = 2 * far * (4 + 4 * extent.gcn) + 8 * sent
    return held, max(0, far * COVERING_BYTES - held)


def edge_bytes(model: Model, directed: bool) -> int:
    """Bytes of an edge in the operator: source, weight of gcn, and the transpose's."""
    if model.aggregation == "attention":
        return 4 + 8 + 4 + 8 + 8 * model.spec.heads * model.num_layers
    one_way = 4 + 4 * (model.spec.model == "gcn")
    return 2 * one_way + 4 * directed


def activation_bytes(
    model: Model, num_own: int, halo: int, sent: int, item: int
) -> tuple[int, int]:
    """Bytes of what forward keeps and backward makes, and of rows that travel; upper bounds.

    A layer keeps its result, and its aggregate where that comes first; norms and residuals keep
    another matrix. Backward has two matrices of gradients at a time, and the sums of a weight's,
    and the loss three of logits.
    """
    widths, spec = model.widths, model.spec
    attends = attends_in_layers(model)
    kept = sum(kept_numbers(model, n) for n in range(len(widths) - 1))
    temporary = (4 + spec.residual) * max(widths[1:]) + 3 * widths[-1]
    extra = spec.heads if attends else 0
    exchanged = 2 * (halo + sent) * (max(widths[1:]) + extra) * item
    if attends:
        kept += len(widths[1:]) * (max(widths[1:]) + 3 * extra)
        exchanged += halo * sum(widths[1:]) * item
    numbers = num_own * (kept + temporary) + gradient_sums(model, num_own)
    return numbers * item, exchanged


def kept_numbers(model: Model, n: int) -> int:
    """Numbers of a row that forward keeps of layer n, products of attention left out."""
    (before, width), spec = model.widths[n : n + 2], model.spec
    aggregates_first = n > 0 and before < width
    beside = 2 if model.aggregation == "mean" else 1
    kept = width + aggregates_first * beside * before
    kept += width * (spec.residual + (spec.model in ("gcnii", "gin")))
    return kept + width * (spec.norm != "none") + width * attends_in_layers(model)


def attends_in_layers(model: Model) -> bool:
    """Whether layers keep attention's products; a decoupled model attends after its layers."""
    return model.aggregation == "attention" and not MODELS[model.spec.model].propagates
