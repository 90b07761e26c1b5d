"""Memory that a rank will need to train on a stream of events, before work starts."""

from batchgnn.base import buffers
from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.extent import Extent
from batchgnn.modes.temporal.inference import CHUNK_ROOTS
from batchgnn.modes.temporal.options import Timeline
from batchgnn.nn.temporal import TemporalModel
from batchgnn.sampling.options import Batches

STREAM_BYTES = 8 + 8 + 8 + 8 + 4 + 1
"Of an event in memory: source, target, time, the first of its time, and while they are read."
ENTRY_BYTES = 8 + 8
"Of a vertex's entry: whom it met, in which event."


def plan_temporal(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them: the stream, memories, and a batch's rows."""
    manifest, model, item = extent.manifest, extent.model, extent.itemsize
    if manifest.events is None or not isinstance(model, TemporalModel):
        raise TypeError("mode temporal is of events")
    events, n = manifest.events, manifest.num_vertices
    options, size = extent.settings[Timeline], extent.settings[Batches].size
    training, scoring = (2 + options.negatives) * size, (2 + options.eval_negatives) * size
    columns = item + (events.feature_dtype == "float16") * 2
    return MemoryPlan(
        {
            **extent.held_bytes(per_vertex=48),
            "the stream": events.num_events * (STREAM_BYTES + columns * events.num_features)
            + ENTRY_BYTES * manifest.num_edges,
            "memories of vertices": n * (2 * model.width * item + 16 + 4 + 8),
            "a copy of them, for a checkpoint or for scores": n * (2 * model.width * item + 16),
            "recent events of a batch": scoring * (options.recent * 44 + 24),
            "a batch's rows": int(
                buffers.GROWTH
                * max(
                    training_bytes(model, training, options.recent, item),
                    scoring_bytes(model, scoring, options.recent, item, n),
                )
            ),
        }
    )


def mail_bytes(model: TemporalModel, rows: int, item: int) -> int:
    """Of mails, gates and states of so many vertices, and their gradients."""
    return (
        rows * item * (2 * (2 * model.width + model.num_features + model.clock) + 14 * model.width)
    )


def root_bytes(model: TemporalModel, recent: int, item: int) -> int:
    """Of a root: encoded times and their slopes, what it sees, its rows."""
    seen = model.heads * (model.width + model.num_features + model.clock)
    return item * (
        2 * recent * model.clock + 6 * recent * model.heads + 4 * seen + 10 * model.width
    )


def training_bytes(model: TemporalModel, roots: int, recent: int, item: int) -> int:
    """Of a step, forward and backward."""
    return mail_bytes(model, roots * (recent + 1), item) + roots * root_bytes(model, recent, item)


def scoring_bytes(model: TemporalModel, roots: int, recent: int, item: int, vertices: int) -> int:
    """Of a batch's scores: states of all that are seen, then roots in chunks."""
    mails = mail_bytes(model, min(roots * (recent + 1), vertices + 1), item)
    return mails + CHUNK_ROOTS * root_bytes(model, recent, item) + 4 * roots * model.width * item
