"""Prediction for mode temporal: products and elements of an epoch's batches.

How many vertices a batch meets is taken from the mean degree; hubs, which are met again and again,
make real ones smaller.
"""

from dataclasses import replace

from batchgnn.modes.open import plan_memory
from batchgnn.modes.temporal.check import is_auto, ways_of
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.published import num_trained_negatives
from batchgnn.nn.temporal import TemporalModel
from batchgnn.plan.job import Job
from batchgnn.plan.prediction import (
    AGGREGATION,
    MESSAGES,
    PACKING,
    PRODUCTS,
    ROWS,
    SAMPLING,
    Prediction,
)
from batchgnn.plan.rates import Rates
from batchgnn.plan.ways import ASSUMED, planned
from batchgnn.plan.whole import ITEM, gradient_seconds
from batchgnn.sampling.options import Batches

PASSES = 3
"Forward, by inputs, by weights."


def predict_temporal(job: Job, rates: Rates) -> Prediction:
    """An epoch walks all training events once, or once a slot and copy; slices are even."""
    model, options = job.model, job.settings[Timeline]
    notes = ["a batch's vertices and their memories estimated from the mean degree"]
    if is_auto(options):
        found = planned(job, ASSUMED)
        chosen = job.settings.replace(ways=found.ways, batch_size=found.batch_size)
        job, notes = replace(job, settings=chosen), [*notes, found.why]
    if not isinstance(model, TemporalModel):
        raise TypeError("mode temporal is of events")
    events, size = job.num_seeds, job.settings[Batches].size
    num_ranks = job.num_ranks
    slices, ahead, copies = ways_of(job.settings, num_ranks)
    steps = max(1, -(-events // size) + ahead - 1)
    roots = (2 + num_trained_negatives(job.settings)) * min(size, max(events, 1)) / slices
    met = min(job.manifest.num_edges / max(job.manifest.num_vertices, 1), options.recent)
    layers = model.spec.state_layers
    vertices = min(roots * (1 + met) ** layers, job.manifest.num_vertices)
    roots *= sum((1 + met) ** hop for hop in range(layers))
    queries = min(roots, vertices)
    d, seen = model.width, model.width + model.num_features + model.clock
    mail = d + seen
    flops = 2 * d * (vertices * (3 * mail + d) + queries * (d + seen + d) + roots * (seen + 2 * d))
    elements = vertices * (mail + 12 * d) + roots * 6 * d
    told = 0 if num_ranks == 1 else 2 * min(size, max(events, 1)) * 2 * d * ITEM
    sent = told * (slices * ahead - 1) * copies
    link = rates.link(num_ranks) if num_ranks > 1 else None
    travels = 0.0 if link is None else link.seconds(1, sent / num_ranks)
    messages = gradient_seconds(job, rates) + travels
    looks = roots * met * (4 * model.heads * seen + 6 * model.clock)
    return Prediction(
        exactness="exact",
        seconds={
            SAMPLING: steps * roots * met * rates.edges.sample_s,
            AGGREGATION: steps * looks * rates.element_s / 2,
            PRODUCTS: steps * PASSES * flops / rates.flops,
            ROWS: steps * elements * rates.element_s,
            PACKING: 0.0,
            MESSAGES: steps * messages,
        },
        hidden_s=0.0,
        steps=steps,
        bytes=steps * (sent + job.gradient_bytes),
        calls=steps * (1 + (num_ranks > 1)),
        memory=plan_memory(job.extent(0)),
        allowed=job.allowed,
        notes=tuple(notes),
    )
