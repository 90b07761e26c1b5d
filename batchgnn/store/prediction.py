"""Prediction files: rows in the order of the graph store, written slab by slab by several ranks."""

import contextlib
from pathlib import Path

import h5py
import numpy as np

from batchgnn.store.format import create_aligned, create_store, writing

FORMAT = "batchgnn-prediction"


def part_path(path: Path) -> Path:
    """Where the file is written until it is whole."""
    return path.with_name(path.name + ".part")


def create_prediction(path: Path, attributes: dict, columns: dict[str, tuple]) -> None:
    """Create the file with its space allocated, so that ranks can write their slabs into it.

    columns: name -> (dtype, shape)
    Raises StoreError when the disk is full.
    """
    with writing(path):
        part_path(path).unlink(missing_ok=True)
        with create_store(part_path(path), FORMAT) as file:
            file.attrs.update(attributes)
            for name, (dtype, shape) in columns.items():
                create_aligned(file, name, shape, dtype)


def write_slab(path: Path, name: str, first_row: int, rows: np.ndarray) -> None:
    """Write consecutive rows of a column; ranks write disjoint slabs at the same time."""
    with h5py.File(part_path(path), "r", locking=False) as file:
        offset = file[name].id.get_offset()
    rows = np.ascontiguousarray(rows)
    row_bytes = rows.nbytes // max(len(rows), 1)
    with writing(path), part_path(path).open("r+b") as file:
        file.seek(offset + first_row * row_bytes)
        file.write(rows.tobytes())


def publish_prediction(path: Path) -> None:
    """Give the finished file its name."""
    with writing(path):
        part_path(path).rename(path)


def discard_prediction(path: Path) -> None:
    """Remove what could not be finished."""
    with contextlib.suppress(OSError):
        part_path(path).unlink()
