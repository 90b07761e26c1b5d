"""How kernels are compiled: the decorators, and the cache folder that ranks share."""

import os
from functools import partial
from pathlib import Path

import numba
from llvmlite.binding import get_host_cpu_name


def cache_folder() -> Path:
    """Folder of compiled kernels: one per user, CPU type, Numba and Python version.

    `BATCHGNN_CACHE` moves it, for example to a node-local disk.
    """
    base = os.environ.get("BATCHGNN_CACHE") or Path.home() / ".cache" / "batchgnn"
    return Path(base) / f"numba-{numba.__version__}-{get_host_cpu_name()}"


if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(cache_folder())

kernel = partial(numba.njit, cache=True, nogil=True, error_model="numpy")
"""Compile on first call, release the GIL, keep the machine code on disk."""

parallel_kernel = partial(kernel, parallel=True)
"""A kernel whose outermost `prange` runs on the rank's threads."""
