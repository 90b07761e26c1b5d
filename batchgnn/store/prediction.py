"""Prediction files: rows in the order of the graph store, written slab by slab by several ranks."""

from pathlib import Path

import h5py
import numpy as np

from batchgnn.store.format import FORMAT_VERSION

FORMAT = "batchgnn-prediction"


def part_path(path: Path) -> Path:
    """Where the file is written until it is whole."""
    return path.with_name(path.name + ".part")


def create_prediction(path: Path, attributes: dict, columns: dict[str, tuple]) -> None:
    """Create the file with its space allocated, so that ranks can write their slabs into it.

    columns: name -> (dtype, shape)
    """
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(part_path(path), "w") as file:
        file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, **attributes)
        for name, (dtype, shape) in columns.items():
            space = h5py.h5s.create_simple(shape)
            kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
            h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=early)


def write_slab(path: Path, name: str, first_row: int, rows: np.ndarray) -> None:
    """Write consecutive rows of a column; ranks write disjoint slabs at the same time."""
    with h5py.File(part_path(path), "r") as file:
        offset = file[name].id.get_offset()
    rows = np.ascontiguousarray(rows)
    row_bytes = rows.nbytes // max(len(rows), 1)
    with part_path(path).open("r+b") as file:
        file.seek(offset + first_row * row_bytes)
        file.write(rows.tobytes())


def publish_prediction(path: Path) -> None:
    """Give the finished file its name."""
    part_path(path).rename(path)
