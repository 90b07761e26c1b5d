"""What this machine can do, and medians of timings: the floors that kernels are held to."""

import time
from collections.abc import Callable

import numpy as np
from numba import njit, prange

from batchgnn.kernels.gather import copy_rows
from batchgnn.kernels.rows import Rows


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median time of `work()`, which is called once before to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


@njit(parallel=True, fastmath=True)
def _triad(a, b, c):
    for i in prange(len(a)):
        a[i] = b[i] + np.float32(3) * c[i]


def triad_bandwidth(num_bytes: int = 1 << 28) -> float:
    """Bytes per second of STREAM's triad on Numba's threads, arrays far above the caches."""
    a, b, c = (np.ones(num_bytes // 4, np.float32) for _ in range(3))
    return 3 * num_bytes / median_seconds(lambda: _triad(a, b, c))


def random_row_rate(rows: Rows) -> float:
    """Bytes per second read by a bare prefetching copy of the rows."""
    out = np.empty(rows.shape, rows.like.dtype)
    return out.nbytes / median_seconds(lambda: copy_rows(rows, out), 3)


def gemm_rate(n: int = 2048) -> float:
    """Floating-point operations per second of a square float32 matrix product."""
    a, out = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    return 2 * n**3 / median_seconds(lambda: np.matmul(a, a, out=out), 3)


def show(name: str, seconds: float, floor_s: float, note: str = "") -> None:
    """One line: the measured time, the floor, their ratio."""
    print(f"{name:32s} {1e3 * seconds:9.2f} ms  floor {1e3 * floor_s:8.2f} ms  "
          f"x {seconds / floor_s:5.2f}  {note}")  # fmt: skip
