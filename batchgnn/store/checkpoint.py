"""Checkpoints of a run: one HDF5 file each, written beside and renamed, the last few kept."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.store.format import atomic_file, create_store, open_store, text

FORMAT = "batchgnn-checkpoint"


@dataclass
class Checkpoint:
    """All that a run needs to go on: the same on every rank.

    arrays      flat buffers by name: parameters, optimiser moments, best parameters
    progress    scalars by name: epoch, step (next one to train), optimiser steps, sums so far
    fingerprint of the shard store it was trained on
    """

    arrays: dict[str, np.ndarray]
    progress: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def checkpoint_path(folder: Path, epoch: int, step: int) -> Path:
    """Names sort in the order of training."""
    return folder / f"epoch-{epoch:06d}-step-{step:08d}.h5"


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint atomically, then remove all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(folder, checkpoint.progress["epoch"], checkpoint.progress["step"])
    write_file(path, checkpoint)
    for old in sorted(folder.glob("epoch-*.h5"))[:-keep]:
        old.unlink()
    return path


def write_file(path: Path, checkpoint: Checkpoint) -> None:
    """Write one checkpoint file beside and rename it."""
    with atomic_file(path, overwrite=True) as beside, create_store(beside, FORMAT) as file:
        file.attrs["fingerprint"] = checkpoint.fingerprint
        for name, value in checkpoint.progress.items():
            file.attrs[f"progress.{name}"] = value
        for name, array in checkpoint.arrays.items():
            file.create_dataset(name, data=array)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint file; raises StoreError when it is none, or damaged."""
    with open_store(path, FORMAT, "checkpoint") as file:
        progress = {
            name.removeprefix("progress."): value.item() if hasattr(value, "item") else value
            for name, value in file.attrs.items()
            if name.startswith("progress.")
        }
        arrays = {name: file[name][...] for name in file}
        return Checkpoint(arrays, progress, text(file.attrs["fingerprint"]))


def latest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run."""
    found = sorted(folder.glob("epoch-*.h5"))
    if not found:
        raise StoreError(
            f"{folder}: no checkpoint to resume from. "
            f"Train without --resume and with another --run."
        )
    return found[-1]
