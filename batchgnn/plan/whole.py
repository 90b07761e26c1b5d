"""Predictions for the modes over the whole graph: an epoch is one step.

Per rank, for each product of the edges with rows of width d:

    graph-parallel   edges (t0 + t1 d) of its own vertices; the halo's rows, d wide
    tensor-parallel  all edges (t0 + t1 d / P); own rows to columns and back, (1 - 1/P) of them

so that tensor moves less where rho, the halo rows by vertex, is above 2 (1 - 1/P).
"""

import math
from collections.abc import Iterator

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.graph.cut_rows import even_bounds
from batchgnn.modes.open import plan_memory
from batchgnn.modes.tensor.graph import NARROW, auto_chunks
from batchgnn.modes.tensor.memory import is_frugal, walk_chunks
from batchgnn.modes.tensor.options import Slices
from batchgnn.nn.models import MODELS
from batchgnn.nn.work import (
    LayerWork,
    decoupled_messages,
    decoupled_work,
    whole_graph_work,
)
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

ITEM = 4
"Bytes of a number on the wire."
ESTIMATED = "rows of the halo estimated from those of the shards"
AT_MOST = "at most the rows of the halo: the first run finds the cover, which may be fewer"


def predict_fullgraph(job: Job, rates: Rates) -> Prediction:
    """Graph parallelism: halo rows are fetched while the edges between own rows are multiplied."""
    shares, num_ranks = job.shares, job.num_ranks
    link = rates.neighbours if shares.talks_to <= 2 else rates.link(num_ranks)
    works = whole_graph_work(job.model, job.keeps_inputs, 1, job.trains_inputs)
    moved = sum(halo_numbers(each) for each in works)
    calls = sum(len(each.gathers) + 4 * len(each.attends) for each in works)
    slowest: dict[str, float] = {}
    hidden = 0.0
    for rank in range(num_ranks):
        rows, halo = int(shares.vertices[rank]), float(job.travelling[rank])
        edges, far = float(shares.edges[rank]), float(shares.far_edges[rank])
        seconds = rank_seconds(works, rows, edges, 1, rates)
        seconds[PACKING] = halo * moved * rates.copy_s if num_ranks > 1 else 0.0
        seconds[MESSAGES] = 0.0
        if num_ranks > 1:
            seconds[MESSAGES] = link.seconds(calls, halo * moved * job.wire_bytes)
        near = seconds[AGGREGATION] * (1 - far / max(edges, 1))
        behind = hidden_seconds(job, rates, seconds[MESSAGES], near)
        if sum(seconds.values()) - behind > sum(slowest.values()) - hidden:
            slowest, hidden = seconds, behind
    slowest[MESSAGES] += gradient_seconds(job, rates)
    alone = num_ranks == 1
    total = float(job.travelling.sum()) * moved * job.wire_bytes + job.gradient_bytes
    return Prediction(
        exactness=job.exactness,
        seconds=slowest,
        hidden_s=hidden,
        steps=1,
        bytes=0 if alone else total,
        calls=0 if alone else calls + 1,
        memory=largest_plan(job),
        allowed=job.allowed,
        notes=tuple(_notes_on_halo(job)),
    )


def predict_tensor(job: Job, rates: Rates) -> Prediction:
    """Tensor parallelism: a group's ranks multiply all edges of its part with their own columns.

    One group of all ranks by default; several (--tensor-ways) exchange the halo of their slices.
    """
    ways, decoupled = job.ways, MODELS[job.model.spec.model].propagates
    if decoupled:
        works = decoupled_work(job.model)
        once = [decoupled_messages(works[-1])]
    else:
        once = works = whole_graph_work(job.model, job.keeps_inputs, 1, job.trains_inputs)
    chunks = num_chunks(job)
    slowest: dict[str, float] = {}
    hidden = total = 0.0
    calls = sum(calls_of_layer(each, 1 if decoupled else chunks, job) for each in once)
    if decoupled:  # both scores of attention, and both their gradients, in one
        calls -= 2 * len(once[0].attends)
    # the rows of a product are packed and unpacked as they go and again as they come back
    moved = sum(2 * sum(each.gathers) + 4 * sum(d for d, _ in each.attends) for each in once)
    halo_slices = sum(halo_numbers(each, ways) for each in works)
    item = ITEM if job.shares.num_parts > 1 else job.wire_bytes  # a grid rounds its halo alone
    for part in range(job.shares.num_parts):
        rows, halo = job.num_rows(part), float(job.travelling[part])
        seconds = rank_seconds(works, int(rows.max()), float(job.shares.edges[part]), ways, rates)
        dealt_bytes = item * sum(column_numbers(each, int(rows.sum()), ways) for each in once)
        halo_bytes = job.wire_bytes * halo * halo_slices
        total += dealt_bytes + halo_bytes
        seconds[PACKING] = (2 * rows.max() * moved + halo * halo_slices / ways) * rates.copy_s
        seconds[MESSAGES] = rates.link(ways).seconds(calls, dealt_bytes / ways) if ways > 1 else 0.0
        if job.shares.num_parts > 1:
            seconds[MESSAGES] += halo_bytes / ways / rates.link(job.shares.num_parts).bytes_per_s
        meanwhile = 0.0 if decoupled else seconds[AGGREGATION] * (1 - 1 / chunks)
        moving = moving_share(float(job.shares.edges[part]), float(rows.sum()), chunks)
        behind = hidden_seconds(job, rates, moving * seconds[MESSAGES], meanwhile)
        if sum(seconds.values()) - behind > sum(slowest.values()) - hidden:
            slowest, hidden = seconds, behind
    slowest[MESSAGES] += gradient_seconds(job, rates)
    alone = job.num_ranks == 1
    return Prediction(
        exactness=job.exactness,
        seconds=slowest,
        hidden_s=hidden,
        steps=1,
        bytes=0 if alone else total + job.gradient_bytes,
        calls=0 if alone else calls + 1,
        memory=largest_plan(job),
        allowed=job.allowed,
        notes=tuple(_notes_on_slices(once, job)),
    )


def _notes_on_slices(works: list[LayerWork], job: Job) -> Iterator[str]:
    narrow = min((min(each.gathers) for each in works if each.gathers), default=NARROW * job.ways)
    if narrow < NARROW * job.ways and job.ways > 1:
        yield (
            f"slices of {narrow} columns on {job.ways} ranks are under {NARROW}: an edge takes as "
            "long to read as about 11 columns to multiply"
        )
    yield from _notes_on_halo(job)


def _notes_on_halo(job: Job) -> Iterator[str]:
    if job.shares.num_parts == 1 or (job.covers and job.shares.cover is not None):
        return
    if not job.shares.is_exact:
        yield ESTIMATED
    if job.covers:
        yield AT_MOST


def calls_of_layer(work: LayerWork, chunks: int, job: Job) -> int:
    """Collectives of a rank for a layer: split and join, and the halo's on a grid."""
    halo = job.shares.num_parts > 1
    calls = (2 * chunks + halo) * len(work.gathers)
    return calls + (3 * chunks + 5 + 4 * halo) * len(work.attends)


def rank_seconds(
    works: list[LayerWork], num_rows: int, num_edges: float, ways: int, rates: Rates
) -> dict[str, float]:
    """Seconds that a rank computes: num_rows times what `works` has for one row; all the edges.

    ways: ranks among whom the columns of a product are dealt
    """
    edges = rates.edges
    aggregation = 0.0
    for each in works:
        aggregation += sum(edges.spmm.seconds(num_edges, -(-d // ways)) for d in each.gathers)
        aggregation += sum(
            edges.attend.seconds(num_edges + num_rows, -(-d // ways)) for d, _ in each.attends
        )
    return {
        SAMPLING: 0.0,
        AGGREGATION: aggregation,
        PRODUCTS: num_rows * sum(each.flops for each in works) / rates.flops,
        ROWS: num_rows * sum(each.elements for each in works) * rates.element_s,
    }


def halo_numbers(work: LayerWork, ways: int = 1) -> int:
    """Numbers of a halo row that travel for a layer, there and back, over all slices of it.

    ways: slices; a head that several slices share has its score in each
    """
    numbers = sum(work.gathers)
    for d, heads in work.attends:
        inside = np.arange(heads + 1) * (d // heads)
        cut = np.unique(np.concatenate([inside, even_bounds(d, ways)]))
        numbers += 2 * (d + (heads if heads >= ways else len(cut) - 1))
    return numbers


def column_numbers(work: LayerWork, num_vertices: int, num_ranks: int) -> int:
    """Numbers that all ranks send for a layer: rows to columns, and columns to rows."""
    total = sum(2 * dealt(num_vertices, even_bounds(d, num_ranks)) for d in work.gathers)
    for d, heads in work.attends:
        if heads >= num_ranks:  # whole heads, and their scores: two there, their gradients back
            bounds = even_bounds(heads, num_ranks)
            total += 4 * dealt(num_vertices, bounds * (d // heads))
            total += 4 * dealt(num_vertices, bounds)
        else:
            total += 4 * dealt(num_vertices, even_bounds(d, num_ranks))
            total += 4 * num_vertices * heads * (num_ranks - 1)
    return total


def dealt(num_vertices: int, bounds: np.ndarray) -> int:
    """Numbers that change the rank when rows of all columns become columns of all rows."""
    rows = np.diff(even_bounds(num_vertices, len(bounds) - 1))
    return int((rows * (int(bounds[-1]) - np.diff(bounds))).sum())


def moving_share(num_edges: float, num_rows: float, chunks: int) -> float:
    """Share of a walk's messages that travel while edges are multiplied.

    The others are the rows that the first chunk needs, which of many edges to a vertex are nearly
    all (its targets, and the sources of its edges as if these were drawn evenly), and the results
    of the last chunk.
    """
    first = 1 - (1 - 1 / chunks) * math.exp(-num_edges / chunks / max(num_rows, 1))
    return ((1 - first) + (1 - 1 / chunks)) / 2


def num_chunks(job: Job) -> int:
    """As `modes.tensor` cuts the walk over the edges."""
    said, manifest = job.settings[Slices].chunks, job.manifest
    if job.shares.num_parts > 1:
        return 1  # the halo operator takes a part's edges as a whole
    if said != "auto":
        return said
    chunks = auto_chunks(job.model.widths, manifest.num_vertices, job.num_ranks, job.overlap)
    if is_frugal(job.extent(0)):
        chunks = max(chunks, walk_chunks(manifest))
    return chunks


def hidden_seconds(job: Job, rates: Rates, messages_s: float, meanwhile_s: float) -> float:
    """Part of the messages that passes behind a product: the rest takes the product's cores."""
    return rates.overlap * min(messages_s, meanwhile_s) if job.overlap else 0.0


def gradient_seconds(job: Job, rates: Rates) -> float:
    """One all-reduce: the gradient goes there and back once."""
    if job.num_ranks == 1:
        return 0.0
    return rates.link(job.num_ranks).seconds(1, 2 * job.gradient_bytes / job.num_ranks)


def largest_plan(job: Job) -> MemoryPlan:
    """The memory plan of the rank that needs most."""
    return max(
        (plan_memory(job.extent(r)) for r in range(job.num_ranks)), key=lambda each: each.total
    )
