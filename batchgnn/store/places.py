"""Where a dataset lies in its file, so that it can be mapped."""

from pathlib import Path

import h5py
import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.store.shard_check import RESTORE

Places = dict[str, tuple[int, np.dtype, tuple[int, ...]]]
"By dataset of a file: offset in it, -1 where it is empty; dtype; shape."


def place_of(path: Path, file: h5py.File, name: str) -> tuple[int, np.dtype, tuple[int, ...]]:
    """(offset in the file, dtype, shape) of a contiguous dataset; offset -1 when it is empty."""
    dataset = file[name]
    if dataset.size == 0:
        return -1, dataset.dtype, dataset.shape
    offset = dataset.id.get_offset()
    if offset is None:
        raise StoreError(
            f"{path}: dataset {name} is not contiguous, so it cannot be mapped. {RESTORE}"
        )
    return offset, dataset.dtype, dataset.shape
