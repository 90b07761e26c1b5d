"""How kernels are compiled: the decorators, and the cache folder that ranks share."""

import hashlib
import os
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
from llvmlite.binding import get_host_cpu_name

from batchgnn.kernels.compile_once import compiled_once


def cache_folder() -> Path:
    """Folder of compiled kernels: one per user, CPU type, Numba version and text of the kernels.

    `BATCHGNN_CACHE` moves it, for example to a node-local disk. Numba compiles a kernel anew when
    its own file changes, but not when that of a kernel it calls does: hence the text.
    """
    base = os.environ.get("BATCHGNN_CACHE") or Path.home() / ".cache" / "batchgnn"
    return Path(base) / f"{get_host_cpu_name()}-numba-{numba.__version__}-{_digest_of_kernels()}"


@cache
def _digest_of_kernels() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(cache_folder())

# Idle threads of OpenMP spin by default, on the cores that the BLAS's threads and other ranks need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def kernel(function: Any = None, **options: Any) -> Any:
    """Compile on first call, release the GIL, keep the machine code on disk for all processes."""
    if function is None:
        return partial(kernel, **options)
    return compiled_once(numba.njit(nogil=True, error_model="numpy", **options)(function))


parallel_kernel: Any = partial(kernel, parallel=True)
"""A kernel whose outermost `prange` runs on the rank's threads."""
