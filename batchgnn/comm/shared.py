"""Arrays that the ranks of a node have in common, in one MPI shared window."""

import os
import shutil
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import MemoryPlanError
from batchgnn.comm.mpi import MPI

ALIGNMENT = 64
OVERHEAD_BYTES = 1 << 20
"What MPI keeps beside the arrays of a window, and more."

FOLDER_VARIABLE = "OMPI_MCA_osc_sm_backing_directory"

Layout = dict[str, tuple[np.dtype, tuple[int, ...]]]
"Name: dtype and shape of an array."


def layout_bytes(layout: Layout) -> int:
    """Bytes of the arrays of a window."""
    return sum(_padded(*each) for each in layout.values())


def _padded(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return -(-dtype.itemsize * int(np.prod(shape, dtype=np.int64)) // ALIGNMENT) * ALIGNMENT


def window_folder() -> Path:
    """Where Open MPI and MPICH keep the memory of a window."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "/dev/shm")


def has_room(num_bytes: int) -> bool:
    """Whether a window of so many bytes fits now."""
    return num_bytes + OVERHEAD_BYTES <= _free_bytes()


def require_room(num_bytes: int, host: str, instead: str) -> None:
    """Raise MemoryPlanError when a window would not fit: MPI may end the job in place of an error.

    instead: what to type to go on without the window.
    """
    if not has_room(num_bytes):
        folder, free = window_folder(), format_bytes(_free_bytes())
        raise MemoryPlanError(
            f"{format_bytes(num_bytes)} are to be shared by the ranks of {host}, and {folder} has "
            f"{free} free. {instead}, or enlarge it: mount -o remount,size=... "
            f"{folder}, or --shm-size=... for a container."
        )


def _free_bytes() -> int:
    folder = window_folder()
    return shutil.disk_usage(folder).free if folder.is_dir() else 0


class SharedArrays:
    """Arrays on memory that all ranks of a node map; every method is collective on the node.

    Fill parts of `arrays`, then `settle`; from then on all ranks see what any wrote. The arrays
    are gone after `free`.
    """

    def __init__(self, node: MPI.Intracomm, layout: Layout):
        """node: the ranks of one machine; layout: the same on all of them."""
        mine = layout_bytes(layout) + ALIGNMENT if node.rank == 0 else 0
        self._node, self._window = node, MPI.Win.Allocate_shared(mine, 1, MPI.INFO_NULL, node)
        memory, _ = self._window.Shared_query(0)
        self._window.Lock_all()
        bytes_of_all = np.asarray(memory).view(np.uint8)
        self.arrays: dict[str, np.ndarray] = {}
        at = -bytes_of_all.ctypes.data % ALIGNMENT  # the same on all ranks: maps begin with a page
        for name, (dtype, shape) in layout.items():
            end = at + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            self.arrays[name] = bytes_of_all[at:end].view(dtype).reshape(shape)
            at += _padded(dtype, shape)

    def settle(self) -> None:
        """Make what every rank has written visible to all."""
        self._window.Sync()
        self._node.Barrier()
        self._window.Sync()

    def free(self) -> None:
        """Give the memory back."""
        self.arrays.clear()
        self._window.Unlock_all()
        self._window.Free()
