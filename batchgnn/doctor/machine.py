"""What a rank finds of its machine: cores, threads, libraries, memory, the cache of kernels."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from threadpoolctl import threadpool_info

from batchgnn import __version__
from batchgnn.base.bytes import memory_here
from batchgnn.base.cgroup import core_limit
from batchgnn.base.environment import size_from_environment
from batchgnn.base.threads import own_cores
from batchgnn.kernels.jit import cache_folder

PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "mpi4py")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "BATCHGNN_CACHE", "NUMBA_CACHE_DIR")
NETWORK = ("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb", "afs", "9p", "fuse", "panfs")
"How the names of file systems on other machines begin."


def facts() -> dict[str, Any]:
    """What this process finds, as plain values: the same keys on every rank.

    `blas` has the threads that are set when this is called.
    """
    return {
        "host": platform.node(),
        "cores": own_cores(),
        "machine_cores": os.cpu_count() or 1,
        "core_limit": core_limit(),
        "started_ranks": size_from_environment(),
        "blas": _blas(),
        "cache": _cache(cache_folder()),
        "memory": _memory(),
        "shared_memory": _shared_memory(Path("/dev/shm")),
        "huge_pages": _chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "versions": _versions(),
        "variables": {n: v for n, v in sorted(os.environ.items()) if _is_telling(n)},
    }


def _is_telling(variable: str) -> bool:
    return variable in THREAD_VARIABLES or variable.startswith("SLURM_")


def _versions() -> dict[str, str]:
    found = {"batchgnn": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _blas() -> list[str]:
    """Name, version and threads of each BLAS in this process that threads can be set for."""
    return [
        f"{pool['internal_api']} {pool['version']}, threads: {pool['num_threads']} "
        f"({pool.get('threading_layer', 'its own')})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]


def _cache(folder: Path) -> dict[str, Any]:
    """The folder of compiled kernels: whether it can be written, what it has, where it is."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or folder)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return {
        "folder": str(folder),
        "writable": os.access(existing, os.W_OK),
        "kernels": sum(1 for _ in folder.rglob("*.nbi")),
        "file_system": file_system(existing),
    }


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`; empty if unknown."""
    path = path.resolve()
    holding = [
        (len(Path(each.mountpoint).parts), each.fstype)
        for each in psutil.disk_partitions(all=True)
        if path.is_relative_to(each.mountpoint)
    ]
    return max(holding, default=(0, ""))[1]


def is_network(file_system: str) -> bool:
    """Whether a file system of this type lies on another machine."""
    return file_system.lower().startswith(NETWORK)


def _memory() -> dict[str, int]:
    """Bytes of the machine, those that may be used here, and those of them that are free now."""
    memory = memory_here()
    return {
        "machine": psutil.virtual_memory().total,
        "total": memory.total,
        "available": memory.available,
    }


def _shared_memory(path: Path) -> dict[str, int]:
    """Bytes of the file system that MPI's messages between ranks of a node go through."""
    if not path.is_dir():
        return {"total": 0, "free": 0}
    usage = shutil.disk_usage(path)
    return {"total": usage.total, "free": usage.free}


def _chosen(path: Path) -> str:
    """The word in brackets of a kernel setting such as `always [madvise] never`."""
    try:
        text = path.read_text()
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0] or "unknown"
