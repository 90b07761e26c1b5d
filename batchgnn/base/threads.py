"""Threads of a rank: those of Numba and of matrix products, as many as the rank has cores."""

import math
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction

import numba
from threadpoolctl import threadpool_limits

from batchgnn.base.cgroup import core_limit
from batchgnn.base.errors import ConfigError


def own_cores() -> list[int]:
    """The cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def threads_for(requested: int | None, own: list[int], of_node: list[list[int]]) -> int:
    """Threads a rank should run: as requested, else its cores, shared with ranks that see the same.

    own: cores that this rank may use; of_node: those of every rank of the machine, this one too.
    A limit on the time of cores, as containers have, is shared by the ranks of the machine.
    Raises ConfigError when more threads are requested than the machine, or that limit, has cores.
    """
    quota = core_limit()
    if requested is None:
        users = Counter(core for cores in of_node for core in cores)
        share = sum(Fraction(1, users[core]) for core in own)
        return max(1, int(share if quota is None else min(share, quota / len(of_node))))
    there, who = os.cpu_count() or 1, socket.gethostname()
    if quota is not None and quota < there:
        there, who = math.ceil(quota), f"the container or job on {who}"
    if requested > there:
        raise ConfigError(
            f"--threads {requested}: {who} has {there} cores, and more threads a "
            f"rank than cores only wait for each other. Give at most --threads {there}, divided "
            "by the ranks of a node."
        )
    return requested


def usable_cores(there: int) -> int:
    """So many of `there` cores that a limit on their time leaves, at least one."""
    quota = core_limit()
    return there if quota is None else max(1, min(there, int(quota)))


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
def use_threads(count: int) -> Iterator[None]:
    """Run Numba kernels and `for_each` of this process on `count` threads, each BLAS call on one.

    A BLAS that shares one product between threads lets them wait for each other over and over: a
    thread that loses its core for a moment stops all. Products are cut into parts instead.
    """
    global _helpers
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(1), ThreadPoolExecutor(max(1, count - 1), "products") as pool:
            _helpers = (pool, count - 1)
            yield
    finally:
        _helpers = None
        numba.set_num_threads(before)


def num_threads() -> int:
    """How many threads `for_each` has."""
    return 1 if _helpers is None else 1 + _helpers[1]


def for_each(work: Callable[[int], object], count: int) -> None:
    """work(0) ... work(count - 1), on the threads of `use_threads`; the order is not fixed."""
    todo = iter(range(count))  # taking from it is one step for the interpreter

    def take() -> None:
        for k in todo:
            work(k)

    waiting = []
    if _helpers is not None:
        pool, most = _helpers
        waiting = [pool.submit(take) for _ in range(min(most, count - 1))]
    take()
    for each in waiting:
        each.result()


_helpers: tuple[ThreadPoolExecutor, int] | None = None
