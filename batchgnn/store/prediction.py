"""Prediction files: rows in the order of the graph store, written slab by slab by several ranks.

What ranks write is HDF5; where the file's name asks for a table, the first rank makes it of that.
"""

import contextlib
from pathlib import Path

import h5py
import numpy as np

from batchgnn.store.format import atomic_file, create_aligned, create_store, writing
from batchgnn.store.prediction_table import CHANCES, CLASSES, WRITERS, table_of
from batchgnn.store.shard_store import Manifest

FORMAT = "batchgnn-prediction"


def part_path(path: Path) -> Path:
    """Where the file is written until it is whole."""
    return path.with_name(path.name + ".part")


def create_prediction(path: Path, run: Path, of: Manifest, columns: dict[str, tuple]) -> None:
    """Create the file with its space allocated, so that ranks can write their slabs into it.

    columns: name -> (dtype, shape)
    of: the manifest of the shards
    Raises StoreError when the disk is full.
    """
    with writing(path):
        part_path(path).unlink(missing_ok=True)
        with create_store(part_path(path), FORMAT) as file:
            file.attrs.update(name=of.name, run=str(run), task=of.task)
            if len(columns.get(CHANCES, ((), ()))[1]) == 2:
                file[CLASSES] = np.array([name.encode() for name in of.class_names], "S")
            for name, (dtype, shape) in columns.items():
                create_aligned(file, name, shape, dtype)


def write_slab(path: Path, name: str, first_row: int, rows: np.ndarray) -> None:
    """Write consecutive rows of a column; ranks write disjoint slabs at the same time."""
    if len(rows) == 0:
        return
    with h5py.File(part_path(path), "r", locking=False) as file:
        offset = file[name].id.get_offset()
    rows = np.ascontiguousarray(rows)
    row_bytes = rows.nbytes // len(rows)
    with writing(path), part_path(path).open("r+b") as file:
        file.seek(offset + first_row * row_bytes)
        file.write(rows.tobytes())


def publish_prediction(path: Path) -> None:
    """Give the finished file its name, as what the name asks for."""
    part = part_path(path)
    if write := WRITERS.get(path.suffix):
        with atomic_file(path) as beside:
            write(beside, table_of(part))
        part.unlink()
        return
    with writing(path):
        part.rename(path)


def discard_prediction(path: Path) -> None:
    """Remove what could not be finished."""
    with contextlib.suppress(OSError):
        part_path(path).unlink()
