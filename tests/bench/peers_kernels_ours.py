"""Times BatchGNN's kernels for peers_kernels.py, a line of input each."""

import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from numba import prange
from peers_worker import Task, say

from batchgnn.base import buffers
from batchgnn.kernels.half import narrow_rows
from batchgnn.kernels.jit import parallel_kernel
from batchgnn.kernels.spmm import NUM_SHARES, PER_ROW, WITHOUT, look_ahead, share_begin, spmm
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.modes.share import Share
from batchgnn.run.session import open_session
from batchgnn.watch import trace

MINIBATCHES = 8


@parallel_kernel
def gather_only(indptr, indices, x, out):
    """Reads every row that the product reads, asked for as it asks, and keeps nothing.

    out[share] is a sum over the bits read, so that the reading cannot be left out.
    """
    for share in prange(NUM_SHARES):
        first, last = share_begin(indptr, share), share_begin(indptr, share + 1)
        total = np.uint32(0)
        for v in range(first, last):
            look_ahead(x, indices, indptr[v], indptr[v + 1], indptr[last])
            for e in range(indptr[v], indptr[v + 1]):
                row = x[indices[e]]
                for j in range(x.shape[1]):
                    total ^= row[j]
        out[share] = total


class Kernels:
    """The graph, and one method a kernel; each returns (seconds, work)."""

    def __init__(self, task: Task, share: Share):
        self.mode = make_mode(share)
        self.shuffled = self.mode.schedule.shuffled(0)
        graph = Path(task.graph)
        self.indptr = np.load(graph / "indptr.npy")
        self.indices = np.load(graph / "indices.npy")
        self.num_vertices = len(self.indptr) - 1
        self.scale = (1 / np.maximum(np.diff(self.indptr), 1)).astype(np.float32)

    @cache  # noqa: B019
    def rows(self, width: int) -> np.ndarray:
        """A matrix with a row for each vertex, aligned as training's and PyTorch's are."""
        out = buffers.empty((self.num_vertices, width))
        return np.random.default_rng(0).random(out=out, dtype=np.float32)

    @cache  # noqa: B019
    def halves(self, width: int) -> np.ndarray:
        """The same as bfloat16 bits."""
        out = buffers.empty((self.num_vertices, width), np.int16)
        narrow_rows(self.rows(width), out)
        return out

    def gather(self, width: int):
        """Every row that the product reads, without arithmetic; work in bytes of rows."""
        x, out = self.rows(width).view(np.uint32), np.empty(NUM_SHARES, np.uint32)
        begin = time.perf_counter()
        gather_only(self.indptr, self.indices, x, out)
        return time.perf_counter() - begin, len(self.indices) * width * 4

    def spmm(self, width: int):
        """Mean over in-neighbours; work in bytes of gathered rows."""
        return self._spmm(self.rows(width))

    def spmm_bfloat16(self, width: int):
        """The same of bfloat16 rows; work as if they were float32."""
        return self._spmm(self.halves(width))

    def sample(self, fanouts: list[int]):
        """Sampling and relabelling of a macrobatch, as training does it; work in edges."""
        self.mode.first.hops = tuple(fanouts)
        trace.reset()
        prepared = self.mode.prepare(0, range(MINIBATCHES), self.shuffled)
        seconds = sum(lane["phases"]["sample"]["seconds"] for lane in trace.snapshot().values())
        return seconds, sum(len(b.indices) for each in prepared for b in each.blocks)

    def _spmm(self, x: np.ndarray):
        out = buffers.empty(x.shape)  # used again, as DGL's: its malloc keeps what is freed
        begin = time.perf_counter()
        spmm(self.indptr, self.indices, self.scale, PER_ROW, x, WITHOUT, out)
        return time.perf_counter() - begin, len(self.indices) * x.shape[1] * 4


def main() -> None:
    """Open the shards and answer."""
    task = Task.from_arguments()
    settings = settings_of(
        batch_size=task.batch, threads=task.threads, macrobatch=MINIBATCHES, overlap=False
    )
    with open_session(Path(task.shards), settings) as share:
        kernels = Kernels(task, share)
        for line in sys.stdin:
            name, argument = json.loads(line)
            seconds, work = getattr(kernels, name.replace(" ", "_"))(argument)
            say(seconds=seconds, work=work)


if __name__ == "__main__":
    main()
