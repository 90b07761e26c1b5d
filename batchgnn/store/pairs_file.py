"""Pairs of vertices that are asked about: columns of a .npz, CSV or Parquet file, by name."""

import csv
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError

Columns = dict[str, np.ndarray]


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """The columns (n,) of a file, numbers or text; others are not looked at.

    Raises ConfigError where there is no such file, or it does not have the columns, equally long.
    """
    read = READERS.get(path.suffix)
    needed = f"needed a .npz, .csv or .parquet file with {', '.join(names)}"
    if read is None or not path.is_file():
        found = "no such file" if read else f"the name ends in {path.suffix or 'nothing'}"
        raise ConfigError(f"--pairs {path}: {found}: {needed}.")
    try:
        columns = read(path, names)
    except ImportError as error:
        raise ConfigError(
            f"--pairs {path}: reading Parquet needs pyarrow: pip install 'batchgnn[parquet]'; or "
            "give a .csv file."
        ) from error
    except (LookupError, ValueError, OSError, EOFError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"--pairs {path} cannot be read ({said}): {needed}.") from error
    shapes = {each.shape for each in columns.values()}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ConfigError(f"--pairs {path}: {', '.join(names)} have to be as many.")
    for name, column in columns.items():
        if column.dtype.kind not in "iufUS":
            raise ConfigError(f"--pairs {path}: {name} has to be numbers or text.")
    return columns


def _read_npz(path: Path, names: Sequence[str]) -> Columns:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def _read_csv(path: Path, names: Sequence[str]) -> Columns:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        at = [header.index(name) for name in names]
        rows = [[line[k] for k in at] for line in lines if line]
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: _typed(list(each)) for name, each in zip(names, values, strict=True)}


def _typed(values: list[str]) -> np.ndarray:
    """Whole numbers, else numbers, else text."""
    for dtype in (np.int64, np.float64):
        try:
            return np.array(values).astype(dtype) if values else np.empty(0, np.int64)
        except (ValueError, OverflowError):
            continue
    return np.array(values)


def _read_parquet(path: Path, names: Sequence[str]) -> Columns:
    table = importlib.import_module("pyarrow.parquet").read_table(path, columns=list(names))
    found = {name: table[name].to_numpy() for name in names}
    return {k: v.astype(str) if v.dtype.kind == "O" else v for k, v in found.items()}


READERS: dict[str, Callable[[Path, Sequence[str]], Columns]] = {
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"By the end of a file's name."


def as_names(ids: np.ndarray, dtype: np.dtype, where: str) -> np.ndarray:
    """Ids as a graph has its own, whole numbers or bytes. Raises ConfigError where none can be."""
    if dtype.kind == "S":
        return np.char.encode(ids, "utf-8") if ids.dtype.kind == "U" else ids.astype("S")
    if ids.dtype.kind not in "iu":
        raise ConfigError(
            f"{where}: ids have to be whole numbers, as those of the graph are, and "
            f"{', '.join(map(repr, ids[:1].tolist()))} is none."
        )
    return ids.astype(np.int64)
