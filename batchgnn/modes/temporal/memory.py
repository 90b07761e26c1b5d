"""Memory that a rank will need to train on a stream of events, before work starts."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.extent import Extent
from batchgnn.modes.temporal.check import ways_of
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.published import num_negatives, num_trained_negatives
from batchgnn.modes.temporal.static import NONE
from batchgnn.nn.model import Model
from batchgnn.nn.temporal import TemporalModel
from batchgnn.nn.temporal_layers import CHUNK_ROOTS
from batchgnn.sampling.options import Batches
from batchgnn.store.shard_store import Manifest

MEMORIES = "memories of vertices"
STREAM_BYTES = 8 + 8 + 8 + 8 + 4 + 1 + 5
"""Of an event in memory: source, target, time, the first of its time, what is held while they are
read, and what a task compares with."""
ENTRY_BYTES = 8 + 8
"Of a vertex's entry: whom it met, in which event."


def plan_temporal(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them: the stream, memories, and a batch's rows."""
    manifest, model, item = extent.manifest, extent.model, extent.itemsize
    if manifest.events is None or not isinstance(model, TemporalModel):
        raise TypeError("mode temporal is of events")
    events, n = manifest.events, manifest.num_vertices
    options, size = extent.settings[Timeline], extent.settings[Batches].size
    negatives = num_trained_negatives(extent.settings)
    training, scoring = (2 + negatives) * size, (2 + num_negatives(extent.settings)) * size
    columns = item + (events.feature_dtype == "float16") * 2
    slices, ahead, copies = ways_of(extent.settings, extent.num_ranks)
    of_copy, of_all = (_held(extent, ranks) for ranks in (slices * ahead, extent.num_ranks))
    met = (1 + options.recent) ** model.spec.state_layers
    read = min(size * (2 + ahead * negatives) * met, n) * (ahead > 1)
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=48),
            "the stream": events.num_events * (STREAM_BYTES + columns * events.num_features)
            + ENTRY_BYTES * manifest.num_edges,
            MEMORIES: of_copy + n * (16 + 4 + 8),
            "a copy of them, for a checkpoint or for scores": max(
                extent.num_own * (2 * 2 * model.width * item + 16),
                (of_all + 16 * n) * (copies > 1),
            ),
            "static rows of vertices": 0
            if options.static == NONE
            else (n * 4 + 8 * min(n, max(training, scoring) * met)) * model.width,
            "recent events of a batch": max(scoring, ahead * training)
            * event_bytes(options.recent, model.spec.state_layers),
            "what is read for several steps": 2 * read * (2 * model.width * item + 24),
            "a batch's rows": int(
                buffers.GROWTH
                * max(
                    training_bytes(model, training, options.recent, item, n),
                    scoring_bytes(model, scoring, options.recent, item, n),
                )
            ),
        }
    )


def _held(extent: Extent, num_ranks: int) -> int:
    """Of memories that so many ranks have together: a rank may map all that it shares."""
    num_bytes, where = (
        copy_bytes(extent.manifest, extent.model),
        extent.settings[Timeline].state_rows,
    )
    is_dealt = where == "dealt" or (where == "auto" and num_ranks > extent.ranks_per_node)
    return -(-num_bytes // num_ranks) if is_dealt else num_bytes


def copy_bytes(manifest: Manifest, model: Model) -> int:
    """Of the memories of all vertices."""
    return manifest.num_vertices * 2 * model.widths[-1] * model.parameters.buffer.itemsize


def mail_bytes(model: TemporalModel, rows: int, item: int) -> int:
    """Of mails, gates and states of so many vertices, and their gradients."""
    return (
        rows * item * (2 * (2 * model.width + model.num_features + model.clock) + 14 * model.width)
    )


def root_bytes(model: TemporalModel, recent: int, item: int) -> int:
    """Of a root: encoded times and their slopes, what it sees, its rows; what is pulled of them."""
    seen = model.heads * (model.width + model.num_features + model.clock)
    pulled = recent * model.heads * (2 * 8 + 2 * item) + model.width
    return pulled + item * (
        2 * recent * model.clock + 6 * recent * model.heads + 4 * seen + 10 * model.width
    )


def rows_of_hops(recent: int, layers: int) -> int:
    """Roots of all hops, for one of the last."""
    return sum((1 + recent) ** hop for hop in range(layers))


def event_bytes(recent: int, layers: int) -> int:
    """Of whom a root met, hop by hop, and of telling those of the lower hops apart."""
    hops = rows_of_hops(recent, layers)
    return hops * (recent * 44 + 24) + (hops - 1) * 128


def training_bytes(model: TemporalModel, roots: int, recent: int, item: int, vertices: int) -> int:
    """Of a step, forward and backward."""
    layers = model.spec.state_layers
    mails = mail_bytes(model, min(roots * (recent + 1) ** layers, vertices + 1), item)
    return mails + roots * rows_of_hops(recent, layers) * root_bytes(model, recent, item)


def scoring_bytes(model: TemporalModel, roots: int, recent: int, item: int, vertices: int) -> int:
    """Of a batch's scores: states of all that are seen, then roots in chunks."""
    layers = model.spec.state_layers
    mails = mail_bytes(model, min(roots * (recent + 1) ** layers, vertices + 1), item)
    rows = 4 * roots * rows_of_hops(recent, layers) * model.width * item
    return mails + CHUNK_ROOTS * root_bytes(model, recent, item) + rows
