"""`batchgnn data convert npy`: a folder of .npy files -> a graph store.

    edge_index.npy (E, 2) or (2, E)   node_feat.npy   node_label_19.npy  node_label_2K.npy

as IGB has them, there in `processed/paper` and `processed/paper__cites__paper`; further the arrays
that `convert npz` knows, a file each (`train_mask.npy`, `edge_weight.npy`, ...). Files are mapped
into memory and read in chunks of rows. Edges are arcs unless `--arcs` or `directed.npy` says so.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.arrays import ArraysInMemory
from batchgnn.data.convert import ConvertOptions, Report
from batchgnn.data.convert_npz import convert_arrays
from batchgnn.data.npz_file import READ_HEADER
from batchgnn.data.npz_names import ALIASES

PLACES = ("", "paper", "paper__cites__paper")
"Folders of IGB whose arrays are taken, below the folder itself or its `processed`."

LABELS = "node_label_"


@dataclass(frozen=True, kw_only=True)
class NpyOptions(ConvertOptions):
    """Options of `convert npy`."""

    label: str | None = None
    "File of the labels, where there are several: node_label_19 or node_label_2K."


def convert_npy(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: NpyOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the folder `source` to the graph store `out`.

    Raises DataError for a bad folder, ConfigError for a bad option, StoreError when `out` exists.
    """
    options = options or NpyOptions()
    arrays = open_arrays(Path(source), options.label)
    if options.arcs is None and "directed" not in arrays:
        options = replace(options, arcs="directed")
    if options.name is None:
        options = replace(options, name=Path(source).resolve().name)
    return convert_arrays(arrays, out, options, show=show)


def open_arrays(folder: Path, label: str | None) -> ArraysInMemory:
    """The arrays of the folder, mapped, under the names that `convert npz` knows.

    label  name of the labels' file; needed where there are several
    """
    files = files_of(folder)
    found = {name: mapped(path) for name, path in files.items()}
    arrays = ArraysInMemory(
        str(folder), {name: array for name, array in found.items() if array is not None}
    )
    labels = [name for name in arrays.header if name.startswith(LABELS)]
    if label is None and len(labels) > 1 and "y" not in arrays:
        raise ConfigError(
            f"{folder}: which are the labels, {' or '.join(labels)}? Say --label {labels[0]}"
        )
    if label is not None and label.removesuffix(".npy") not in arrays:
        raise ConfigError(
            f"--label {label}: {folder} has no such array, found {', '.join(arrays.header)}"
        )
    chosen = labels[0] if label is None and labels else (label or "").removesuffix(".npy")
    if chosen and chosen not in ("y", *ALIASES["y"]):
        arrays.rename(chosen, "y")
    shape = arrays.header["edge_index"][0] if "edge_index" in arrays else ()
    if len(shape) == 2 and shape[0] != 2 and shape[1] == 2:
        arrays.replace("edge_index", arrays.read("edge_index").T)
    return arrays


def files_of(folder: Path) -> dict[str, Path]:
    """Name of an array -> its file; those of other folders have their folder before their name."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {found}: needed a folder of .npy files")
    root = folder / "processed" if (folder / "processed").is_dir() else folder
    files: dict[str, Path] = {}
    for path in sorted(root.rglob("*.npy")):
        below = path.relative_to(root).with_suffix("")
        name = below.name if str(below.parent) in (".", *PLACES) else str(below)
        if name in files:
            raise DataError(f"{files[name]} and {path}: needed one file of this name. Rename one")
        files[name] = path
    if not files:
        raise DataError(f"{folder} has no .npy file, needed some: is this the right folder?")
    return files


def mapped(path: Path) -> np.ndarray | None:
    """The array of a file, mapped; None where it is one of Python objects, which is not read."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = READ_HEADER[np.lib.format.read_magic(file)](file)
        if dtype.hasobject:
            return None
        is_empty = 0 in shape or not shape
        return np.load(path, mmap_mode=None if is_empty else "r", allow_pickle=False)
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"{path}: no array of numpy's .npy format, or truncated ({error}). Copy it again"
        ) from error
