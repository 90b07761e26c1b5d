"""Prediction for layers in a pipeline: an epoch is one step, chunks pass one stage after another.

seconds   of the slowest stage, and (S - 1) / C of what it computes and sends, in which the pipeline
          fills and empties: nothing hides a chunk's way to the next stage there. The exact forward
          of every --guard-every epochs is not among them
bytes     2 (S - 1) N d, d the width of the rows between layers; where W ways share a stage, also
          the halo between them, there and back in each aggregation: 2 L rho(W) N d
"""

from itertools import pairwise

import numpy as np

from batchgnn.graph.narrow import narrow_order
from batchgnn.modes.pipeline.check import require_stages
from batchgnn.modes.pipeline.layout import Layout, layout_of
from batchgnn.modes.pipeline.options import Stages
from batchgnn.nn.model import staged
from batchgnn.nn.work import LayerWork, whole_graph_work
from batchgnn.plan.job import Job
from batchgnn.plan.prediction import (
    FILLING,
    MESSAGES,
    PACKING,
    Prediction,
)
from batchgnn.plan.rates import Rates
from batchgnn.plan.shares import Shares, shares_of
from batchgnn.plan.whole import (
    ESTIMATED,
    ITEM,
    gradient_seconds,
    halo_numbers,
    hidden_seconds,
    largest_plan,
    rank_seconds,
)

TOUCHES = 6
"""How often a number of an aggregation's rows is copied in an epoch: put and put back; the gradient
cleared, left, doubled; and read into a message."""


def predict_pipeline(job: Job, rates: Rates) -> Prediction:
    """An epoch of a job; raises ConfigError where ranks do not make stages."""
    require_stages(job.settings, job.num_ranks)
    layout = layout_of(job.settings, job.manifest, job.model, job.num_ranks)
    num_stages, ways, chunks = layout.num_stages, layout.ways, layout.num_chunks
    parts = shares_of(job.manifest, np.repeat(np.arange(ways), np.diff(layout.shards)), ways)
    stages = [_stage_seconds(works, parts, chunks, rates) for works in _stages(job, layout)]
    slowest = max(stages, key=lambda seconds: sum(seconds.values()))
    computed, width = sum(slowest.values()), 0
    columns = staged(job.model).entering_width(1) if num_stages > 1 else 0
    link_bytes = 2 * job.manifest.num_vertices * columns * ITEM
    links, hidden = 0.0, 0.0
    if num_stages > 1:
        links = rates.neighbours.seconds(2 * chunks, link_bytes / ways)
        hidden = hidden_seconds(job, rates, links, computed)
    slowest[FILLING] = (computed + links) * (num_stages - 1) / chunks
    options = job.settings[Stages]
    if options.wavefront:
        width = narrow_order(job.manifest).width
        each = [sum(seconds.values()) for seconds in stages]
        slowest[FILLING] = _wave_seconds(layout, width, each) - computed
    slowest[MESSAGES] = slowest.get(MESSAGES, 0.0) + links + gradient_seconds(job, rates)
    every = whole_graph_work(job.model, job.keeps_inputs, 1)
    swapped = sum(map(halo_numbers, every)) * float(parts.halo.sum()) * ITEM
    age = options.history_every
    old = f"approximate: rows up to {age} epoch{'s' * (age > 1)} old"
    return Prediction(
        exactness="exact" if options.wavefront else old,
        is_exact=options.wavefront,
        seconds=slowest,
        hidden_s=hidden,
        steps=1,
        bytes=(num_stages - 1) * link_bytes + swapped + job.gradient_bytes,
        calls=_calls(job, layout, every),
        memory=largest_plan(job),
        allowed=job.allowed,
        notes=tuple(_notes(layout, parts, width, 0 if options.wavefront else options.guard_every)),
    )


def _stage_seconds(
    works: list[LayerWork], parts: Shares, chunks: int, rates: Rates
) -> dict[str, float]:
    """Of the way that takes longest, with what it swaps, which nothing hides."""
    ways = parts.num_parts
    slowest: dict[str, float] = {}
    moved = sum(sum(each.gathers) + 2 * sum(d for d, _ in each.attends) for each in works)
    swapped, calls = sum(map(halo_numbers, works)), sum(map(_swaps, works))
    for way in range(ways):
        rows, halo = int(parts.vertices[way]), float(parts.halo[way])
        seconds = rank_seconds(works, rows, int(parts.edges[way]), 1, rates)
        seconds[PACKING] = (rows * moved / 2 * TOUCHES + halo * swapped) * rates.copy_s
        if ways > 1:
            seconds[MESSAGES] = rates.link(ways).seconds(calls * chunks, halo * swapped * ITEM)
        if sum(seconds.values()) > sum(slowest.values()):
            slowest = seconds
    return slowest


def _swaps(work: LayerWork) -> int:
    """Exchanges of a chunk between ways: of a product there or back one, of attention four."""
    return len(work.gathers) + 4 * len(work.attends)


def _calls(job: Job, layout: Layout, every: list[LayerWork]) -> float:
    """Collectives of a rank, on the average."""
    stages, chunks = layout.num_stages, layout.num_chunks
    links = 4 * chunks * (stages - 1) / stages
    swaps = chunks * sum(map(_swaps, every)) / stages if layout.ways > 1 else 0
    return links + swaps + (job.num_ranks > 1)


def _wave_seconds(layout: Layout, width: int, stages: list[float]) -> float:
    """All slots each way, each as long as the stage that has most to do in it."""
    chunks, num_layers = layout.num_chunks, int(layout.layers[-1])
    total = 0.0
    counts = np.diff(layout.layers)
    for slot in range(chunks + (num_layers - 1) * width + layout.num_stages - 1):
        chunk = slot - np.arange(num_layers) * width
        stage = np.repeat(np.arange(layout.num_stages), counts)
        active = np.bincount(stage[(chunk - stage >= 0) & (chunk - stage < chunks)])
        active = np.pad(active, (0, layout.num_stages - len(active)))
        total += float((active / counts * stages).max()) / chunks
    return total


def _notes(layout: Layout, parts: Shares, width: int, guard_every: int) -> list[str]:
    said = [f"{layout.num_chunks} chunks pass {layout.num_stages} stages"]
    said += [f"every {guard_every} epochs an exact forward besides"] if guard_every else []
    said += [f"edges join chunks up to {width} places apart"] if width else []
    if layout.ways > 1:
        said += [f"{layout.ways} ways each, whose halo is {parts.halo_factor:.3g} rows a vertex"]
        said += [] if parts.is_exact else [ESTIMATED]
    return said


def _stages(job: Job, layout: Layout) -> list[list[LayerWork]]:
    """What each stage has to do for a row."""
    works = whole_graph_work(job.model, job.keeps_inputs, 1)
    before = int(len(works) > job.model.num_layers)  # linear layers around the others
    bounds = layout.layers + before
    bounds[0], bounds[-1] = 0, len(works)
    return [works[a:b] for a, b in pairwise(bounds)]
