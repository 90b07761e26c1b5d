"""A whole training step beside its floor: the flops of its matrix products at this machine's GEMM
rate, and the bytes of its gathers at the rate of a bare prefetching gather of random feature rows,
both measured before every turn; `make bench`.

BATCHGNN_BENCH_SHARDS names a shard store of the 1.2 M-vertex graph (`batchgnn data generate
communities`), BATCHGNN_BENCH_LINK_SHARDS one with held-out edges; by default a graph of 100,000
vertices is made, on which caches help more.
Threads: NUMBA_NUM_THREADS and OPENBLAS_NUM_THREADS.
"""

import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numba
import numpy as np
import pytest
from bench.machine import gemm_rate, random_row_rate, show
from commands import succeed
from threadpoolctl import threadpool_limits

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

pytestmark = pytest.mark.slow

SETTINGS = {"A": (256, (15, 10, 5)), "B": (256, (5, 10, 15)), "C": (64, (15, 10, 5))}
MACROBATCH, TURNS = 8, 5


@pytest.fixture(scope="module")
def make_shards(tmp_path_factory):
    """A shard store: the one that a variable names, or of a small graph, cut with `options`."""
    folder = tmp_path_factory.mktemp("bench")

    def make(variable, *options):
        if given := os.environ.get(variable):
            return Path(given)
        graph, shards = folder / "g.h5", folder / variable
        if not graph.exists():
            sizes = ["--vertices", 100_000, "--degree", 48, "--features", 100, "--classes", 47]
            succeed("data", "generate", "communities", graph, *sizes)
        if not shards.exists():
            succeed("partition", graph, shards, "--shards", 1, "--method", "random", *options)
        return shards

    return make


@dataclass
class Work:
    """What one step must do: flops of its matrix products, bytes of the rows it gathers."""

    flops: float
    gathered_bytes: float


def work_of_a_step(mode) -> Work:
    """Of the mean minibatch of a macrobatch, forward and backward; no gradient of the input."""
    minibatches = mode.prepare(0, range(MACROBATCH), mode.schedule.shuffled(0))
    flops = gathered = 0.0
    for minibatch in minibatches:
        for n, (operator, (d_in, d_out)) in enumerate(
            zip(minibatch.operators, pairwise(mode.model.widths), strict=True)
        ):
            rows = operator.num_targets
            edges = getattr(getattr(operator, "block", None), "num_edges", rows)
            flops += 2 * rows * 2 * d_in * d_out * (2 if n == 0 else 3)
            gathered += 4 * d_in * (edges + rows) * (1 if n == 0 else 2)
    return Work(flops / len(minibatches), gathered / len(minibatches))


@pytest.mark.parametrize("cache", ["off", "memory"])
@pytest.mark.parametrize("name", SETTINGS)
def test_step(make_shards, name, cache):
    hidden, fanouts = SETTINGS[name]
    options = {"hidden": hidden, "fanouts": fanouts, "aggregate_cache": cache}
    show_step(f"{name} aggregate cache {cache}", make_shards("BATCHGNN_BENCH_SHARDS"), options)


def test_step_of_edges(make_shards):
    """1,000 edges, each beside one vertex that is drawn; they carry no message in their step."""
    shards = make_shards("BATCHGNN_BENCH_LINK_SHARDS", "--links", 0.85, 0.05, 0.1)
    show_step("of edges", shards, {"task": "links", "hidden": 128, "embedding": 128,
                                   "layers": 2, "fanouts": (15, 10)})  # fmt: skip


def show_step(name, shards, options):
    """Print the median of a step beside its floor."""
    threads = numba.config.NUMBA_NUM_THREADS
    settings = settings_of(
        batch_size=1000, macrobatch=MACROBATCH, overlap=False, threads=threads, dropout=0.0,
        features="memory", **options,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    with open_session(shards, settings) as share:
        mode = make_mode(share)
        x = share.own.features.at(rng.integers(0, share.own.num_own, 500_000))
        moved = work_of_a_step(mode)
        steps = mode.epoch(0)
        seconds, floors = [], []
        for _ in range(1 + TURNS):
            with threadpool_limits(threads):  # a session leaves BLAS one thread a product
                flops_per_s = gemm_rate()
            floors.append(moved.flops / flops_per_s + moved.gathered_bytes / random_row_rate(x))
            begin = time.perf_counter()
            for _ in range(MACROBATCH):
                next(steps)
            seconds.append((time.perf_counter() - begin) / MACROBATCH)
    note = f"{moved.flops / 1e9:.1f} GFLOP, {moved.gathered_bytes / 1e9:.2f} GB gathered"
    show(f"step {name}", median(seconds[1:]), median(floors[1:]), note)
