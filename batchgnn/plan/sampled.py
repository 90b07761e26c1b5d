"""Prediction for mode macrobatch: how many vertices and edges a minibatch will have, and the rest.

Frontiers are expected values as if neighbours were drawn evenly, from the rank's own vertices and
from those of others by their share of the edges. Vertices of many edges, which are drawn again and
again, make real ones smaller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from batchgnn.base.bytes import parse_bytes
from batchgnn.modes.assembly import task_of
from batchgnn.modes.macrobatch.memory import fit_macrobatch
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.macrobatch.size import MOST, SLACK, bytes_at_a_time
from batchgnn.nn.work import LayerWork, layer_work
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
from batchgnn.plan.whole import gradient_seconds, hidden_seconds, largest_plan
from batchgnn.sampling.left_out import EDGE_BYTES
from batchgnn.sampling.options import Batches, KeptInputs, Sampling


@dataclass(frozen=True)
class Frontier:
    """Vertices of a hop's result on one rank: own ones, and those of others."""

    own: float
    remote: float

    @property
    def size(self) -> float:
        """All of them."""
        return self.own + self.remote


def frontiers_of(
    seeds: float,
    fanouts: Sequence[int],
    num_vertices: int,
    num_edges: int,
    num_ranks: int,
    cut: float,
    anywhere: float = 0.0,
) -> tuple[list[Frontier], list[float]]:
    """Frontiers of a rank's minibatch, the roots first, and the edges drawn for each hop.

    seeds: of the rank, its own vertices; cut: share of the edges that join two ranks
    anywhere: roots besides, which may be any vertices
    """
    degree = num_edges / max(num_vertices, 1)
    inside = num_vertices / num_ranks
    outside = num_vertices - inside
    elsewhere = cut / max(num_ranks - 1, 1)  # an edge of a remote vertex that leads back here
    here, away = seeds + anywhere / num_ranks, anywhere * (1 - 1 / num_ranks)
    frontiers, edges = [Frontier(min(here, inside), min(away, outside))], []
    for fanout in fanouts:
        last = frontiers[-1]
        kept = degree if fanout < 0 else min(fanout, degree)
        edges.append(last.size * kept)
        to_own = kept * (last.own * (1 - cut) + last.remote * elsewhere)
        own = last.own + distinct(to_own, inside) * (1 - last.own / max(inside, 1))
        remote = last.remote
        if num_ranks > 1:
            found = distinct(edges[-1] - to_own, outside)
            remote += found * (1 - last.remote / max(outside, 1))
        frontiers.append(Frontier(own, remote))
    return frontiers, edges


def distinct(draws: float, among: float) -> float:
    """How many different ones so many even draws meet."""
    return among * -math.expm1(-draws / among) if among > 0 else 0.0


def group_sizes(num_steps: int, setting: int | str, fitting: int) -> list[int]:
    """Minibatches of each macrobatch of an epoch, as `MacrobatchSize` groups them."""
    sizes: list[int] = []
    size, most = (1, fitting) if setting == "auto" else (int(setting), int(setting))
    while (done := sum(sizes)) < num_steps:
        sizes.append(min(size, num_steps - done))
        size = min(2 * size, most)
    return sizes


def predict_macrobatch(job: Job, rates: Rates) -> Prediction:
    """Sampled minibatches, M of them fetched together in the background."""
    sampling, manifest, num_ranks = job.settings[Sampling], job.manifest, job.num_ranks
    setting = job.settings[Macrobatches].macrobatch
    steps = max(1, -(-job.num_seeds // job.settings[Batches].size))
    seeds = job.num_seeds / steps / num_ranks
    sizes = manifest.num_vertices, manifest.num_edges, num_ranks, job.shares.cut
    shards = manifest.num_shards // num_ranks
    anywhere = task_of(job.settings).most_roots(job.settings, seeds, shards) - seeds
    frontiers, edges = frontiers_of(seeds, _hops(job), *sizes, anywhere)
    works = sampled_work(job, frontiers)
    trained = job.trains_inputs
    row_bytes = input_row_bytes(job)
    groups = group_sizes(steps, setting, fitting_size(job, frontiers, edges, row_bytes))
    seconds = {
        SAMPLING: steps * sum(edges) * rates.edges.sample_s,
        AGGREGATION: steps * _aggregation(works, list(reversed(edges)), frontiers, rates),
        PRODUCTS: steps * sum(each.flops for each in works) / rates.flops,
        ROWS: steps * sum(each.elements for each in works) * rates.element_s,
        PACKING: 0.0,
        MESSAGES: 0.0,
    }
    rank_bytes, calls, hidden = 0.0, 0, 0.0
    if num_ranks > 1:
        rank_bytes = sampling_bytes(job, frontiers, edges, steps)
        rank_bytes += _excludes(job) * steps * EDGE_BYTES * seeds * (num_ranks - 1)
        remote = manifest.num_vertices * (1 - 1 / num_ranks)
        together = [1] * steps if trained else groups
        fetched = sum(distinct_of(frontiers[-1].remote, remote, size) for size in together)
        fetched *= far_share(job)
        rank_bytes += fetched * ((1 + trained) * row_bytes + manifest.id_dtype.itemsize)
        calls = sampling_calls(job) * len(groups) + calls_of_rows(job) * len(together)
        seconds[PACKING] = 2 * (1 + trained) * fetched * row_bytes / 4 * rates.copy_s
        seconds[MESSAGES] = rates.link(num_ranks).seconds(calls, rank_bytes)
        training = seconds[AGGREGATION] + seconds[PRODUCTS] + seconds[ROWS]
        ahead_s = seconds[MESSAGES]
        if trained:  # rows travel in their step
            ahead_s -= rates.link(num_ranks).seconds(2 * steps, 2 * fetched * row_bytes)
        hidden = hidden_seconds(job, rates, ahead_s, training)
        seconds[MESSAGES] += steps * gradient_seconds(job, rates)
    notes = ["minibatches estimated as if neighbours were drawn evenly"]
    if sampling.feature_cache is not None:
        notes.append("without what --feature-cache saves")
    exactness = "exact SGD"
    if job.keeps_inputs:
        exactness += "; first layer unsampled"
    return Prediction(
        exactness=exactness,
        seconds=seconds,
        hidden_s=hidden,
        steps=steps,
        bytes=num_ranks * rank_bytes + steps * job.gradient_bytes,
        calls=calls + steps + (setting == "auto") if num_ranks > 1 else 0,
        memory=largest_plan(job),
        allowed=job.allowed,
        notes=tuple(notes),
    )


def sampled_work(job: Job, frontiers: list[Frontier]) -> list[LayerWork]:
    """The layers of a minibatch on one rank, from the input on."""
    spec, widths, num_layers = job.model.spec, job.model.widths, job.model.num_layers
    rows = [each.size for each in reversed(frontiers)]
    kept = len(frontiers) == num_layers
    if kept:
        rows = [rows[0], *rows]
    return [
        layer_work(
            spec.model,
            d_in,
            d_out,
            rows[n],
            rows[n + 1],
            first=n == 0 and not job.trains_inputs,
            kept=kept and n == 0,
            heads=1 if n == num_layers - 1 else spec.heads,
        )
        for n, (d_in, d_out) in enumerate(pairwise(widths))
    ]


def _aggregation(
    works: Sequence[LayerWork], edges: list[float], frontiers: Sequence[Frontier], rates: Rates
) -> float:
    """Seconds of a minibatch's products with its edges; edges: from the input on."""
    missing = len(works) - len(edges)  # a layer whose aggregate is kept multiplies no edges
    drawn = [0.0] * missing + edges
    targets = [0.0] * missing + [each.size for each in reversed(frontiers[:-1])]
    total = 0.0
    for work, num_edges, num_targets in zip(works, drawn, targets, strict=True):
        total += sum(rates.edges.spmm.seconds(num_edges, d) for d in work.gathers)
        with_loops = num_edges + num_targets
        total += sum(rates.edges.attend.seconds(with_loops, d) for d, _ in work.attends)
    return total


def _hops(job: Job) -> tuple[int, ...]:
    """Fanouts of the hops that are sampled."""
    return job.settings[Sampling].hops(job.settings[KeptInputs])


def _excludes(job: Job) -> bool:
    """Whether ranks tell each other their seeds."""
    return bool(job.settings[Sampling].exclude_seeds)


def _is_gcn(job: Job) -> bool:
    return job.model.aggregation == "gcn"


def input_row_bytes(job: Job) -> int:
    """A fetched row: features, and their aggregate where it is kept; GCN's norm."""
    matrices = 1
    if job.keeps_inputs and job.settings[Sampling].aggregate_memory is None:
        matrices = 1 if _is_gcn(job) else 2
    row_bytes = job.manifest.num_features * job.feature_dtype.itemsize
    return row_bytes * matrices + 4 * _is_gcn(job)


def sampling_bytes(
    job: Job, frontiers: Sequence[Frontier], edges: Sequence[float], steps: int
) -> float:
    """Sent by a rank in an epoch: requests for remote vertices, and the replies to as many."""
    if job.settings[Sampling].topology == "node-shared":
        return 0.0
    word = job.manifest.id_dtype.itemsize
    gcn = _is_gcn(job)
    words = 0.0
    for frontier, drawn in zip(frontiers, edges, strict=False):
        share = frontier.remote / max(frontier.size, 1e-9)
        words += frontier.remote * (3 + gcn + (gcn and job.manifest.weighted))
        words += share * drawn * (1 + (gcn and job.manifest.weighted))
    return steps * words * word


def far_share(job: Job) -> float:
    """Of the other ranks, those whose input rows come as messages."""
    sampling, kept = job.settings[Sampling], job.settings[KeptInputs]
    shared = sampling.topology == "node-shared" and kept.aggregate_cache != "store"
    shared &= job.extent(0).copied_feature_bytes > 0 and not job.trains_inputs
    beside = min(job.ranks_per_node, job.num_ranks) - 1 if shared else 0
    return 1 - beside / max(job.num_ranks - 1, 1)


def sampling_calls(job: Job) -> int:
    """Collectives: 2 L rounds, one of seeds where these are told, of counts before each."""
    seeds = 2 * _excludes(job)
    if job.settings[Sampling].topology == "node-shared":
        return seeds
    return 4 * len(_hops(job)) + seeds


def calls_of_rows(job: Job) -> int:
    """Collectives that fetch input rows: counts, ids, GCN's norms, rows; trained rows' gradients.

    Where the node has all edges, it has the norms.
    """
    norms = _is_gcn(job) and job.settings[Sampling].topology != "node-shared"
    return 3 + norms + job.trains_inputs


def distinct_of(each: float, among: float, times: int) -> float:
    """Different ones in so many even choices of `each`."""
    return among * (1 - (1 - min(each / among, 1)) ** times) if among > 0 else 0.0


def fitting_size(
    job: Job, frontiers: Sequence[Frontier], edges: Sequence[float], row_bytes: int
) -> int:
    """Minibatches that --macrobatch-memory holds, as `MacrobatchSize` counts them."""
    fetched = 0 if job.trains_inputs else frontiers[-1].remote * row_bytes
    held = bytes_at_a_time(sum(edges), fetched, job.overlap)
    fitted = fit_macrobatch(job.extent(0))[Macrobatches]
    budget = parse_bytes(str(fitted.macrobatch_memory))
    return max(1, min(MOST, int(budget / (max(held, 1) * SLACK))))
