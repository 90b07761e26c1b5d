"""The best model of a run in a file: its parameters, and what they were trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.store.format import atomic_file, create_store, open_store, text

FORMAT = "batchgnn-checkpoint"
"Models of batchgnn from before checkpoints were folders are read too."


@dataclass(frozen=True)
class SavedModel:
    """Parameters at the best validation score so far.

    parameters   the flat buffer
    epoch        epochs that were trained when it was written
    fingerprint  of the shard store it was trained on
    """

    parameters: np.ndarray
    epoch: int
    fingerprint: str


def write_model(path: Path, model: SavedModel) -> None:
    """Write beside and rename; raises StoreError when the disk is full."""
    with atomic_file(path, overwrite=True) as beside, create_store(beside, FORMAT) as file:
        file.attrs["fingerprint"] = model.fingerprint
        file.attrs["progress.epoch"] = model.epoch
        file.create_dataset("parameters", data=model.parameters)


def read_model(path: Path) -> SavedModel:
    """What was written; raises StoreError when the file is none of a model, or damaged."""
    with open_store(path, FORMAT, "model of a run") as file:
        epoch, fingerprint = int(file.attrs["progress.epoch"]), text(file.attrs["fingerprint"])
        return SavedModel(file["parameters"][...], epoch, fingerprint)
