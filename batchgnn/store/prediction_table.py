"""Predictions as tables, CSV and Parquet: a row a vertex or pair, with names for people.

Made from the HDF5 file that ranks have written, in chunks: memory does not grow with the rows.
"""

import csv
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.store.labels import MULTICLASS

CHUNK_CELLS = 1 << 20
"Cells that are held at a time."

ID, PREDICTED, CLASSES, CHANCES = "original_id", "predicted", "class_name", "probability"
FIRST = (ID, "source", "target", "time")
"Columns that stand before what is said of them."

Table = dict[str, np.ndarray]
"Columns (k,) by name."


def write_csv(path: Path, chunks: Iterable[Table]) -> None:
    """The chunks one behind the other, below a line of names."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, table in enumerate(chunks):
            if number == 0:
                writer.writerow(table)
            writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))


def write_parquet(path: Path, chunks: Iterable[Table]) -> None:
    """A row group a chunk."""
    arrow, parquet = _pyarrow(path)
    writer = None
    try:
        for table in chunks:
            rows = arrow.table(table)
            writer = writer or parquet.ParquetWriter(path, rows.schema)
            writer.write_table(rows)
    finally:
        if writer is not None:
            writer.close()


WRITERS = {".csv": write_csv, ".parquet": write_parquet}
"By the end of a file's name."

HDF5 = ("", ".h5", ".hdf5")


def check_name(path: Path) -> None:
    """Raise ConfigError where nobody writes files that are called so."""
    if path.suffix not in (*HDF5, *WRITERS):
        raise ConfigError(
            f"{path}: predictions are written as HDF5, CSV or Parquet: give a name that ends in "
            f".h5, {' or '.join(WRITERS)}."
        )
    if path.suffix == ".parquet":
        _pyarrow(path)


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            f"{path}: writing Parquet needs pyarrow: pip install 'batchgnn[parquet]'; or give a "
            "name that ends in .csv."
        ) from error


def table_of(file: Path) -> Iterator[Table]:
    """The rows of a prediction file of HDF5, in chunks of a bounded number of cells."""
    with h5py.File(file, "r", locking=False) as store:
        names = [name.decode() for name in store.get(CLASSES, ())]
        there = store.keys() - {CLASSES}
        columns = [*(name for name in FIRST if name in there), *sorted(there - {*FIRST})]
        width = sum(int(np.prod(store[name].shape[1:])) for name in columns)
        step, rows = max(CHUNK_CELLS // width, 1), len(store[columns[0]])
        is_one_class = store.attrs["task"] == MULTICLASS
        for begin in range(0, rows, step):
            chunk = {name: store[name][begin : begin + step] for name in columns}
            yield dict(_columns(chunk, names, is_one_class))
        if rows == 0:
            chunk = {name: store[name][()] for name in columns}
            yield dict(_columns(chunk, names, is_one_class))


def _columns(
    chunk: Mapping[str, np.ndarray], names: Sequence[str], is_one_class: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, column); of several columns each with the class or number that it is of."""
    for name, rows in chunk.items():
        if rows.ndim == 1:
            yield name, np.char.decode(rows, "utf-8") if rows.dtype.kind == "S" else rows
            continue
        of_class = name == CHANCES
        if of_class and is_one_class:
            yield PREDICTED, np.array(names, object)[rows.argmax(axis=1)]
        for c, column in enumerate(rows.T):
            yield f"{name}_{names[c] if of_class else c}", column
