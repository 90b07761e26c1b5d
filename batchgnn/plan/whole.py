"""Predictions for the modes over the whole graph: an epoch is one step.

Per rank, for each product of the edges with rows of width d:

    graph-parallel   edges (t0 + t1 d) of its own vertices; the halo's rows, d wide
    tensor-parallel  all edges (t0 + t1 d / P); own rows to columns and back, (1 - 1/P) of them

so that tensor moves less where rho, the halo rows by vertex, is above 2 (1 - 1/P).
"""

import numpy as np

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.modes.choice import PLANS
from batchgnn.modes.memory import allowed_bytes
from batchgnn.modes.tensor import NARROW, auto_chunks
from batchgnn.modes.tensor_memory import is_frugal, walk_chunks
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
from batchgnn.plan.stand_in import Job
from batchgnn.plan.work import LayerWork, whole_graph_work

ITEM = 4
"Bytes of a number on the wire."


def predict_fullgraph(job: Job, rates: Rates) -> Prediction:
    """Graph parallelism: halo rows are fetched while the edges between own rows are multiplied."""
    shares, num_ranks = job.shares, job.num_ranks
    link = rates.neighbours if shares.talks_to <= 2 else rates.link(num_ranks)
    works = whole_graph_work(job.settings, job.model.widths, 1)
    moved = sum(halo_numbers(each) for each in works)
    calls = sum(len(each.gathers) + 4 * len(each.attends) for each in works)
    slowest: dict[str, float] = {}
    hidden = 0.0
    for rank in range(num_ranks):
        rows, halo = int(shares.vertices[rank]), float(shares.halo[rank])
        edges, far = float(shares.edges[rank]), float(shares.far_edges[rank])
        seconds = rank_seconds(works, rows, edges, 1, rates)
        seconds[PACKING] = halo * moved * rates.copy_s if num_ranks > 1 else 0.0
        seconds[MESSAGES] = 0.0
        if num_ranks > 1:
            seconds[MESSAGES] = link.seconds(calls, halo * moved * ITEM)
        near = seconds[AGGREGATION] * (1 - far / max(edges, 1))
        behind = hidden_seconds(job, rates, seconds[MESSAGES], near)
        if sum(seconds.values()) - behind > sum(slowest.values()) - hidden:
            slowest, hidden = seconds, behind
    slowest[MESSAGES] += gradient_seconds(job, rates)
    alone = num_ranks == 1
    total = float(shares.halo.sum()) * moved * ITEM + job.gradient_bytes
    notes = (
        [] if shares.is_exact or alone else ["rows of the halo estimated: several shards a rank"]
    )
    return Prediction(
        mode="fullgraph",
        exactness="exact",
        seconds=slowest,
        hidden_s=hidden,
        steps=1,
        bytes=0 if alone else total,
        calls=0 if alone else calls + 1,
        memory=largest_plan(job),
        allowed=allowed_bytes(job.settings.memory, job.ranks_per_node),
        notes=tuple(notes),
    )


def predict_tensor(job: Job, rates: Rates) -> Prediction:
    """Tensor parallelism: every rank multiplies all edges with its own columns."""
    manifest, num_ranks, settings = job.manifest, job.num_ranks, job.settings
    num_vertices, widths = manifest.num_vertices, job.model.widths
    works = whole_graph_work(settings, widths, 1)
    rows = -(-num_vertices // num_ranks)
    seconds = rank_seconds(works, rows, manifest.num_edges, num_ranks, rates)
    chunks = num_chunks(job)
    alone = num_ranks == 1
    total = sum(column_numbers(each, num_vertices, num_ranks) for each in works) * ITEM
    calls = sum(2 * chunks * len(each.gathers) for each in works)
    calls += sum((3 * chunks + 5) * len(each.attends) for each in works)
    # the rows of a product are packed and unpacked as they go and again as they come back
    moved = sum(2 * sum(each.gathers) + 4 * sum(d for d, _ in each.attends) for each in works)
    seconds[PACKING] = 2 * rows * moved * rates.copy_s
    seconds[MESSAGES] = 0.0
    if not alone:
        seconds[MESSAGES] = rates.link(num_ranks).seconds(calls, total / num_ranks)
    meanwhile = seconds[AGGREGATION] * (1 - 1 / chunks)
    hidden = hidden_seconds(job, rates, seconds[MESSAGES], meanwhile)
    seconds[MESSAGES] += gradient_seconds(job, rates)
    narrow = min((min(each.gathers) for each in works if each.gathers), default=NARROW * num_ranks)
    notes = []
    if narrow < NARROW * num_ranks and not alone:
        notes.append(
            f"slices of {narrow} columns on {num_ranks} ranks are under {NARROW}: an edge takes as "
            "long to read as about 11 columns to multiply"
        )
    return Prediction(
        mode="tensor",
        exactness="exact",
        seconds=seconds,
        hidden_s=hidden,
        steps=1,
        bytes=0 if alone else total + job.gradient_bytes,
        calls=0 if alone else calls + 1,
        memory=largest_plan(job),
        allowed=allowed_bytes(settings.memory, job.ranks_per_node),
        notes=tuple(notes),
    )


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


def halo_numbers(work: LayerWork) -> int:
    """Numbers of a halo row that travel for a layer, there and back."""
    return sum(work.gathers) + 2 * sum(d + heads for d, heads in work.attends)


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


def num_chunks(job: Job) -> int:
    """As `modes.tensor` cuts the walk over the edges."""
    settings, manifest = job.settings, job.manifest
    if settings.chunks != "auto":
        return settings.chunks
    chunks = auto_chunks(job.model.widths, manifest.num_vertices, job.num_ranks, job.overlap)
    own = job.session(0).own
    if is_frugal(settings, job.ranks_per_node, own, job.model, job.num_ranks):
        chunks = max(chunks, walk_chunks(manifest))
    return chunks


def hidden_seconds(job: Job, rates: Rates, messages_s: float, meanwhile_s: float) -> float:
    """Part of the messages that passes behind a product: on one node they take its cores."""
    return min(messages_s, meanwhile_s) if job.overlap and rates.num_nodes > 1 else 0.0


def gradient_seconds(job: Job, rates: Rates) -> float:
    """One all-reduce: the gradient goes there and back once."""
    if job.num_ranks == 1:
        return 0.0
    return rates.link(job.num_ranks).seconds(1, 2 * job.gradient_bytes / job.num_ranks)


def largest_plan(job: Job):
    """The memory plan of the rank that needs most."""
    plan = PLANS[job.settings.mode]
    return max((plan(job.session(r)) for r in range(job.num_ranks)), key=lambda each: each.total)
