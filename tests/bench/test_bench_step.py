"""A whole training step beside its floor: the flops of its matrix products at this machine's GEMM
rate, and the bytes of its gathers at the rate of a bare prefetching gather; `make bench`.

BATCHGNN_BENCH_SHARDS names a shard store of the 1.2 M-vertex graph (`batchgnn data generate
communities`); by default a graph of 100,000 vertices is made, on which caches help more.
Threads: NUMBA_NUM_THREADS and OPENBLAS_NUM_THREADS.
"""

import os
import time
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest
from bench.machine import gemm_rate, random_row_rate, show
from commands import succeed

from batchgnn.config import Settings
from batchgnn.session import open_session
from batchgnn.train import make_mode

pytestmark = pytest.mark.slow

SETTINGS = {"A": (256, (15, 10, 5)), "B": (256, (5, 10, 15)), "C": (64, (15, 10, 5))}
MACROBATCH, TURNS = 8, 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    given = os.environ.get("BATCHGNN_BENCH_SHARDS")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("bench")
    graph, shards = folder / "g.h5", folder / "shards"
    sizes = ["--vertices", 100_000, "--degree", 48, "--features", 100, "--classes", 47]
    succeed("data", "generate", "communities", graph, *sizes)
    succeed("partition", graph, shards, "--shards", 1, "--method", "random")
    return shards


def floor_seconds(mode, flops_per_s, bytes_per_s):
    """Of the mean minibatch of a macrobatch."""
    minibatches = mode.prepare(0, range(MACROBATCH), mode.schedule.shuffled(0))
    widths, flops, moved = mode.model.widths, 0.0, 0.0
    for minibatch in minibatches:
        for n, (operator, (d_in, d_out)) in enumerate(
            zip(minibatch.operators, pairwise(widths), strict=True)
        ):
            rows = operator.num_targets
            edges = getattr(getattr(operator, "block", None), "num_edges", rows)
            flops += 2 * rows * 2 * d_in * d_out * (2 if n == 0 else 3)
            moved += 4 * d_in * (edges + rows) * (1 if n == 0 else 2)
    return (flops / flops_per_s + moved / bytes_per_s) / len(minibatches)


@pytest.mark.parametrize("cache", ["off", "memory"])
@pytest.mark.parametrize("name", SETTINGS)
def test_step(shards, name, cache):
    hidden, fanouts = SETTINGS[name]
    threads = numba.config.NUMBA_NUM_THREADS
    settings = Settings(
        hidden=hidden, fanouts=fanouts, batch_size=1000, macrobatch=MACROBATCH, overlap=False,
        threads=threads, dropout=0.0, aggregate_cache=cache, features="memory",
    )  # fmt: skip
    flops_per_s = gemm_rate()  # before the session leaves BLAS one thread a product
    with open_session(shards, settings) as session:
        mode = make_mode(session)
        x = session.own.features.parts[0]
        some = np.random.default_rng(0).integers(0, len(x), 500_000)
        floor = floor_seconds(mode, flops_per_s, random_row_rate(x, some))
        steps = mode.epoch(0)
        seconds = []
        for _ in range(1 + TURNS):
            begin = time.perf_counter()
            for _ in range(MACROBATCH):
                next(steps)
            seconds.append((time.perf_counter() - begin) / MACROBATCH)
    show(f"step {name} aggregate cache {cache}", float(np.median(seconds[1:])), floor)
