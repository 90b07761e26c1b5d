"""Measuring what `plan.rates` holds, on all ranks at once: they share memory, caches and network.

Each rate is that of the slowest rank, in the best of a few repetitions. Ranks that are done sleep
until the others are: in training they do not spin either, on cores that others may need.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np

from batchgnn.base import buffers
from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import exchange_parts
from batchgnn.comm.grid import Comm, Grid
from batchgnn.comm.pieces import finish
from batchgnn.comm.values import values_of_all
from batchgnn.graph.block import Block
from batchgnn.kernels.columns import pack_columns
from batchgnn.kernels.spmm import PER_ROW, WITHOUT, spmm
from batchgnn.modes.share import Share
from batchgnn.nn.dropout import NO_DROPOUT, DropoutStream
from batchgnn.nn.epilogue import Epilogue
from batchgnn.nn.linear import linear, linear_backward
from batchgnn.nn.options import Layers
from batchgnn.operators.local import LocalOperator
from batchgnn.plan.rates import EdgeRates, Line, Link, Rates
from batchgnn.sampling.in_edges import InEdges
from batchgnn.sampling.sampler import Sampler

REPETITIONS = 3
MOST_EDGES, MOST_ATTENDED = 1 << 23, 1 << 21
WIDTHS = (8, 32, 128)
MOST_BYTES = 1 << 30
"Of the matrix that edges are multiplied with: fewer columns are tried on a larger one."
ROWS, SEEDS, FANOUT = 1 << 15, 1 << 13, 15
LARGE_BYTES, SMALL_CALLS = 32 << 20, 20
OVERLAPPED, EDGES_OF_A_ROW = 32, 16


def calibrate(share: Share) -> Rates:
    """The rates of this job's ranks, on the share's graph; collective, under a minute."""
    grid, width = share.grid, max(16, share.settings[Layers].hidden)
    hosts = set(values_of_all(grid.world, grid.host))
    clock = Clock(grid.world)
    edges = EdgeRates(*_edge_lines(share, clock), _sample_s(share, clock))
    all_to_all = {size: _all_to_all(grid, size, clock) for size in group_sizes(grid.size)}
    per_node = f"{grid.size} ranks on {len(hosts)} {'node' if len(hosts) == 1 else 'nodes'}"
    return Rates(
        where=f"measured on {per_node}, {share.threads} threads a rank",
        num_nodes=len(hosts),
        flops=_flops(clock, width),
        element_s=_element_s(clock, width),
        copy_s=_copy_s(clock, width),
        edges=edges,
        all_to_all=all_to_all or {2: Link(0.0, 1e12)},
        neighbours=_neighbours(grid, clock),
        overlap=_overlap(grid, clock),
    )


def group_sizes(num_ranks: int) -> list[int]:
    """2, 4, 8, ... and all ranks."""
    sizes = [2**k for k in range(1, 32) if 2**k < num_ranks]
    return [*sizes, num_ranks] if num_ranks > 1 else []


class Clock:
    """Seconds of something that all ranks do at once: the best time of the slowest rank."""

    def __init__(self, comm: Comm):
        self.comm = comm

    def __call__(self, work: Callable[[], object], count: int = 1) -> float:
        """Seconds of one of the `count` things that `work` does on this rank; collective.

        A rank that has none does not count. The first time, which compiles, does not count.
        """
        work()
        seconds = []
        for _ in range(REPETITIONS):
            finish([self.comm.Ibarrier()])
            begin = time.perf_counter()
            work()
            seconds.append((time.perf_counter() - begin) / count if count else 0.0)
        finish([self.comm.Ibarrier()])
        return min(map(max, zip(*values_of_all(self.comm, seconds), strict=True)))


def line_through(widths: Sequence[int], seconds: Sequence[float]) -> Line:
    """t0 + t1 d of an edge: least squares of the relative error, neither below 0."""
    width, per_edge = np.asarray(widths, float), np.maximum(seconds, 1e-12)
    columns = np.stack([np.ones(len(width)), width], axis=1) / per_edge[:, None]
    edge, column = np.linalg.lstsq(columns, np.ones(len(width)), rcond=None)[0]
    if edge < 0 or column < 0:
        return Line(0.0, float((per_edge / width).mean()))
    return Line(float(edge), float(column))


def _edge_lines(share: Share, clock: Clock) -> tuple[Line, Line]:
    """Products with the first edges of this rank's first shard, and attention over them."""
    found = InEdges(share.own, share.grid.size, [0])
    indptr, rows = found.rows(0)
    indptr, rows = _first_edges(indptr, rows, MOST_EDGES)
    num_rows = share.own.num_own + len(found.remote)
    widths = [d for d in WIDTHS if d == WIDTHS[0] or 4 * d * num_rows <= MOST_BYTES]
    count = min(values_of_all(share.grid.world, len(widths)))
    seconds = []
    weight = np.ones(len(indptr) - 1, np.float32)
    for d in WIDTHS[:count]:
        x, out = _ones(num_rows, d), _ones(len(weight), d)
        args = (indptr, rows, weight, PER_ROW, x, WITHOUT, out)
        seconds.append(clock(partial(spmm, *args), len(rows)))
    spmm_line = line_through(WIDTHS[:count], seconds)

    indptr, rows = _first_edges(indptr, rows, MOST_ATTENDED)
    with_loops = len(rows) + len(indptr) - 1
    seconds = [clock(_attention(indptr, rows, num_rows, d), with_loops) for d in WIDTHS[:2]]
    return spmm_line, line_through(WIDTHS[:2], seconds)


def _ones(*shape: int) -> np.ndarray:
    """float32, aligned as in training: a row that crosses cache lines takes up to twice as long."""
    out = buffers.empty(shape)
    out.fill(1)
    return out


def _first_edges(indptr: np.ndarray, rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of a CSR, with about `most` edges."""
    end = max(1, int(np.searchsorted(indptr, most, side="right")) - 1) if len(indptr) > 1 else 0
    return indptr[: end + 1], rows[: indptr[end]]


def _attention(
    indptr: np.ndarray, rows: np.ndarray, num_rows: int, width: int
) -> Callable[[], object]:
    """Forward and backward of attention with 4 heads, `width` wide together."""
    heads, num_targets = 4, len(indptr) - 1
    block = Block(indptr, rows, np.arange(num_rows), np.diff(indptr))
    operator = LocalOperator(block, "attention")
    operator.prepare(adjoint=True)
    z = _ones(num_rows, heads, width // heads)
    s_src, s_dst = _ones(num_rows, heads), _ones(num_targets, heads)

    def work() -> None:
        out, saved = operator.attend(z, s_src, s_dst, NO_DROPOUT)
        operator.attend_adjoint(out, saved)

    return work


def _sample_s(share: Share, clock: Clock) -> float:
    """Seconds of a drawn edge of own vertices, relabelled; no messages."""
    own, alone = share.own, cast(Comm, share.grid.world.Split(share.grid.rank))
    try:
        sampler = Sampler(alone, own, gcn=False)
        chosen = np.random.default_rng(0).permutation(own.num_own)[:SEEDS]
        frontier = [np.ascontiguousarray(own.ids[chosen])]
        keys = np.array([7], np.uint64)
        num_edges = sampler.hop(frontier, keys, FANOUT)[0].num_edges
        return clock(lambda: sampler.hop(frontier, keys, FANOUT), num_edges)
    finally:
        alone.Free()


def _flops(clock: Clock, width: int) -> float:
    """Of a product, forward and backward."""
    x, weight = _ones(ROWS, width), _ones(width, width)
    dweight = np.empty_like(weight)

    def work() -> None:
        linear_backward(linear(x, weight), x, weight, dweight)

    return 3 * 2 * ROWS * width**2 / clock(work)


def _element_s(clock: Clock, width: int) -> float:
    """Bias, ReLU and dropout of a number, there and back."""
    y, ids = _ones(ROWS, width), np.arange(ROWS, dtype=np.uint32)
    bias, dbias = np.ones(width, np.float32), np.empty(width, np.float32)
    layer, dropout = Epilogue("relu", bias), DropoutStream(0, 0, 0).layer(1, 0.5)

    def work() -> None:
        out, saved = layer.forward(y, ids, dropout)
        layer.backward(out, saved, dbias)

    return clock(work) / y.size


def _copy_s(clock: Clock, width: int) -> float:
    """A number, packed by columns."""
    x, rows = _ones(ROWS, width), np.arange(ROWS)
    bounds, out = np.array([0, width // 2, width]), _ones(ROWS * width)
    return clock(lambda: pack_columns(x, rows, np.empty(0, np.float32), bounds, out)) / x.size


def _all_to_all(grid: Grid, size: int, clock: Clock) -> Link:
    """Between groups of `size` consecutive ranks, all groups at once."""
    comm = grid.some(grid.rank // size).world
    return _link(comm, np.arange(comm.size) != comm.rank, clock)


def _neighbours(grid: Grid, clock: Clock) -> Link:
    """With the ranks before and after."""
    if grid.size == 1:
        return Link(0.0, 1e12)
    partner = np.zeros(grid.size, bool)
    partner[[(grid.rank + 1) % grid.size, (grid.rank - 1) % grid.size]] = True
    return _link(grid.world, partner, clock)


def _link(comm: Comm, partner: np.ndarray, clock: Clock) -> Link:
    """Messages to the partners and from them: latency of small ones, bandwidth of large ones."""
    small = _exchange(comm, partner, 64 * comm.size)
    latency = clock(lambda: [small() for _ in range(SMALL_CALLS)]) / SMALL_CALLS
    seconds = clock(_exchange(comm, partner, LARGE_BYTES))
    return Link(latency, LARGE_BYTES / max(seconds - latency, 1e-9))


def _exchange(comm: Comm, partner: np.ndarray, total: int) -> Callable[[], object]:
    """Sends so many bytes to the partners together, and receives as many."""
    counts = np.where(partner, total // max(int(partner.sum()), 1), 0)
    src, dst = (np.ones(int(counts.sum()), np.uint8) for _ in "ab")
    return lambda: exchange_parts(comm, src, counts, dst, counts, "calibration")


def _overlap(grid: Grid, clock: Clock) -> float:
    """How much of an all-to-all's time a product of the same length saves by running meanwhile."""
    if grid.size == 1 or not grid.thread_multiple:
        return 0.0
    x, out, weight = _ones(ROWS, OVERLAPPED), _ones(ROWS, OVERLAPPED), _ones(ROWS)
    indptr = np.arange(ROWS + 1) * EDGES_OF_A_ROW
    rows = np.random.default_rng(0).integers(0, ROWS, indptr[-1], np.int32)
    product = partial(spmm, indptr, rows, weight, PER_ROW, x, WITHOUT, out)
    send = _exchange(grid.background, np.arange(grid.size) != grid.rank, LARGE_BYTES)
    once, exchange_s = clock(product), clock(send)
    times = max(1, round(exchange_s / once))
    courier = Courier(enabled=True)

    def both() -> None:
        posted = courier.post(send)
        for _ in range(times):
            product()
        posted.wait()

    saved = times * once + exchange_s - clock(both)
    return float(np.clip(saved / min(times * once, exchange_s), 0, 1))
