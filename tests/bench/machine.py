"""What this machine can do, and medians of timings: the floors that kernels are held to."""

import time
from collections.abc import Callable

import numpy as np


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median time of `work()`, which is called once before to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def copy_bandwidth(num_bytes: int = 1 << 28) -> float:
    """Bytes read and written per second by one thread's copy of an array far above the caches."""
    source, target = np.ones(num_bytes // 4, np.float32), np.empty(num_bytes // 4, np.float32)
    return 2 * num_bytes / median_seconds(lambda: np.copyto(target, source))


def gemm_rate(n: int = 1024) -> float:
    """Floating-point operations per second of a square float32 matrix product."""
    a, b, out = (
        np.ones((n, n), np.float32),
        np.ones((n, n), np.float32),
        np.empty((n, n), np.float32),
    )
    return 2 * n**3 / median_seconds(lambda: np.matmul(a, b, out=out))


def show(name: str, seconds: float, floor_s: float, note: str = "") -> None:
    """One line: the measured time, the floor, their ratio."""
    print(f"{name:28s} {1e3 * seconds:9.2f} ms  floor {1e3 * floor_s:8.2f} ms  "
          f"x {seconds / floor_s:5.2f}  {note}")  # fmt: skip
