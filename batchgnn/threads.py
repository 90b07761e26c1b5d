"""Threads of a rank: Numba's and the BLAS's, set to the cores that the rank may use."""

import os
from contextlib import contextmanager

import numba
from threadpoolctl import threadpool_limits


def threads_for(requested: int | None, ranks_on_node: int) -> int:
    """Threads a rank should run: as requested, else its bound cores, shared with the node's ranks.

    When every rank sees all of the node's cores, no launcher bound them and each takes a share.
    """
    if requested is not None:
        return requested
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // ranks_on_node) if cores == os.cpu_count() else cores


def choose_threading_layer() -> bool:
    """Prefer a Numba threading layer that two Python threads may use at once; False if none is."""
    for layer, module in (("omp", "omppool"), ("tbb", "tbbpool")):
        try:
            __import__(f"numba.np.ufunc.{module}")
        except ImportError:
            continue
        numba.config.THREADING_LAYER = layer
        return True
    return False


@contextmanager
def use_threads(count: int):
    """Run Numba kernels and BLAS calls of this process on `count` threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(count):
            yield
    finally:
        numba.set_num_threads(before)
