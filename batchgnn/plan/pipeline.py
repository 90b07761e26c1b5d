"""Prediction for layers in a pipeline: an epoch is one step, chunks pass one stage after another.

seconds   of the slowest stage, and (S - 1) / C of them in which the pipeline fills and empties
bytes     2 (S - 1) N d, d the width of the rows between layers; no halo
"""

from itertools import pairwise

from batchgnn.modes.pipeline.check import require_stages
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.start import stage_bounds
from batchgnn.nn.model import staged
from batchgnn.plan.job import Job
from batchgnn.plan.prediction import (
    FILLING,
    MESSAGES,
    PACKING,
    Prediction,
)
from batchgnn.plan.rates import Rates
from batchgnn.plan.whole import ITEM, gradient_seconds, hidden_seconds, largest_plan, rank_seconds
from batchgnn.plan.work import LayerWork, whole_graph_work

TOUCHES = 6
"""How often a number of an aggregation's rows is copied in an epoch: put and put back; the gradient
cleared, left, doubled; and read into a message."""


def predict_pipeline(job: Job, rates: Rates) -> Prediction:
    """An epoch of a job; raises ConfigError where ranks do not make stages."""
    require_stages(job.settings, job.num_ranks)
    num_stages, chunks = job.num_ranks, job.manifest.num_shards
    num_rows, num_edges = job.manifest.num_vertices, int(job.manifest.shard_edges.sum())
    slowest: dict[str, float] = {}
    for works in _stages(job):
        seconds = rank_seconds(works, num_rows, num_edges, 1, rates)
        moved = sum(sum(each.gathers) + 2 * sum(d for d, _ in each.attends) for each in works)
        seconds[PACKING] = num_rows * moved / 2 * TOUCHES * rates.copy_s
        if sum(seconds.values()) > sum(slowest.values()):
            slowest = seconds
    computed = sum(slowest.values())
    slowest[FILLING] = computed * (num_stages - 1) / chunks
    width = staged(job.model).entering_width(1) if num_stages > 1 else 0
    link_bytes = 2 * num_rows * width * ITEM
    slowest[MESSAGES] = hidden = 0.0
    if num_stages > 1:
        slowest[MESSAGES] = rates.neighbours.seconds(2 * chunks, link_bytes)
        hidden = hidden_seconds(job, rates, slowest[MESSAGES], computed)
        slowest[MESSAGES] += gradient_seconds(job, rates)
    age, alone = job.settings[Stages].history_every, num_stages == 1
    return Prediction(
        exactness=f"approximate: rows up to {age} epoch{'s' * (age > 1)} old",
        seconds=slowest,
        hidden_s=hidden,
        steps=1,
        bytes=(num_stages - 1) * link_bytes + job.gradient_bytes,
        calls=0 if alone else 4 * chunks * (num_stages - 1) / num_stages + 1,
        memory=largest_plan(job),
        allowed=job.allowed,
        notes=(f"{chunks} chunks pass {num_stages} stages",),
    )


def _stages(job: Job) -> list[list[LayerWork]]:
    """What each stage has to do for a row."""
    works = whole_graph_work(job.model, job.keeps_inputs, 1)
    before = int(len(works) > job.model.num_layers)  # linear layers around the others
    bounds = stage_bounds(job.model.num_layers, job.num_ranks) + before
    bounds[0], bounds[-1] = 0, len(works)
    return [works[a:b] for a, b in pairwise(bounds)]
