"""Memory that a rank will need to train and evaluate on the whole graph, before work starts."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.macrobatch.memory import INTERPRETER_BYTES, aggregate_bytes, halo_bounds

PLANNING_BYTES = 44
"Of an edge, while the parts of the operator are made: rows, loops, weights, places, and the parts."


def plan_fullgraph(session) -> MemoryPlan:
    """Peak bytes of `mode fullgraph` on this rank, by what holds them; session: a Session.

    Edges are counted with GCN's and GAT's self-loops. The shards are mapped: the operating system
    may drop their pages at any time.
    """
    settings, model, own = session.settings, session.model, session.own
    halo, sent = halo_bounds(session)
    num_edges = int(own.degree_in.sum()) + own.num_own
    edges = num_edges * edge_bytes(settings, session.manifest.directed)
    item = model.parameters.buffer.itemsize
    kept, exchanged = activation_bytes(model, own.num_own, halo, sent, item)
    inputs = own.num_own * session.manifest.num_features * item
    if settings.aggregate_cache != "off" and model.aggregation == "mean":
        inputs *= 2
    aggregated, computing = aggregate_bytes(session)
    training = buffers.GROWTH * (kept + exchanged)
    preparing = max(num_edges * PLANNING_BYTES - edges, aggregated + computing)
    return MemoryPlan(
        {
            "the interpreter and its libraries": INTERPRETER_BYTES,
            "parameters, gradients and moments": 7 * model.parameters.buffer.nbytes,
            "labels, splits and ids": int(own.label.nbytes + own.split.nbytes + 48 * own.num_own),
            "edges": edges,
            "rows of the halo, and those for others": int(buffers.GROWTH * exchanged),
            "the first layer's input": inputs,
            "activations and their gradients": int(buffers.GROWTH * kept),
            "making the operators, beyond what training needs": max(0, int(preparing - training)),
        }
    )


def edge_bytes(settings, directed: bool) -> int:
    """Bytes of an edge in the operator: source, weight of gcn, and the transpose's."""
    if settings.model == "gat":
        return 4 + 8 + 4 + 8 + 8 * settings.heads * settings.layers
    one_way = 4 + 4 * (settings.model == "gcn")
    return 2 * one_way + 4 * directed


def activation_bytes(model, num_own: int, halo: int, sent: int, item: int) -> tuple[int, int]:
    """Bytes of what forward keeps and backward makes, and of rows that travel; upper bounds.

    A layer keeps its result, and its aggregate where that comes first; norms and residuals keep
    another matrix. Backward has two matrices of gradients at a time, and the loss three of logits.
    """
    widths, spec = model.widths, model.spec
    kept = 0
    for n, width in enumerate(widths[1:]):
        before = widths[n]
        first = n > 0 and before < width
        beside = 2 if model.aggregation == "mean" else 1
        kept += width + first * beside * before
        kept += width * (spec.residual + (spec.model in ("gcnii", "gin")))
        kept += width * (spec.norm != "none") + width * (model.aggregation == "attention")
    temporary = (4 + spec.residual) * max(widths[1:]) + 3 * widths[-1]
    extra = spec.heads if model.aggregation == "attention" else 0
    exchanged = 2 * (halo + sent) * (max(widths[1:]) + extra) * item
    if model.aggregation == "attention":
        kept += len(widths[1:]) * (max(widths[1:]) + 3 * extra)
        exchanged += halo * sum(widths[1:]) * item
    return num_own * (kept + temporary) * item, exchanged
