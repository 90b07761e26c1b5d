"""The best model of a run in a file: its parameters, and what they were trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.store.format import FORMAT_MODEL, atomic_file, create_store, open_store, text
from batchgnn.store.seal import check_seal, seal

REMEDY = "Copy it again; or train on, with --resume and more --epochs: that writes it anew."


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
    with atomic_file(path, overwrite=True) as beside:
        with create_store(beside, FORMAT_MODEL) as file:
            file.attrs["fingerprint"] = model.fingerprint
            file.attrs["progress.epoch"] = model.epoch
            file.create_dataset("parameters", data=model.parameters)
        seal(beside)


def read_model(path: Path) -> SavedModel:
    """What was written; raises StoreError when the file is none of a model, or damaged.

    Files of version 1, from before models had a seal, are read too: they are not looked at.
    """
    check_seal(path, REMEDY)
    with open_store(path, FORMAT_MODEL, "model of a run") as file:
        epoch, fingerprint = int(file.attrs["progress.epoch"]), text(file.attrs["fingerprint"])
        return SavedModel(file["parameters"][...], epoch, fingerprint)
