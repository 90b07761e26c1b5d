"""Checkpoints of a run: a folder of files each, whole or absent, the last few kept.

    epoch-000003-step-00000000/
        the files of `mode_state.py`
        index.json     written last: what each file holds, its checksum, how far training was

A folder is written as `NAME.part` and renamed when all of it is on the disk; before it is removed
it is named so again. Where there is a `NAME` already, that waits as `NAME.old` until the new one
has its name. So what has no `.part` is whole, and a crash at any moment leaves the newest.
"""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json
from batchgnn.store.format import atomic_file, checksum, writing
from batchgnn.store.mode_state import StateFile, damaged, missing, require_fitting

FORMAT = "batchgnn-checkpoint"
FORMAT_VERSION = 2
"Of a folder; version 1 was one HDF5 file."

INDEX = "index.json"
NAME = re.compile(r"epoch-(\d{6,})-step-(\d{8,})(\.old)?")


@dataclass(frozen=True)
class Index:
    """What a checkpoint holds.

    fingerprint  of the shard store it was trained on
    progress     scalars by name: epoch, step (next one to train), sums so far
    scalars      those of the mode's state
    """

    fingerprint: str
    progress: dict[str, Any]
    scalars: dict[str, Any]
    files: list[StateFile]

    def to_json(self) -> str:
        """With a checksum of its own; floats survive to the last bit, infinities too."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION}
        body = json.dumps(head | asdict(self), default=lambda scalar: scalar.item())
        return json.dumps(parse_json(body) | {"checksum": _digest(body)})

    @classmethod
    def from_json(cls, written: str, path: Path) -> "Index":
        """What `to_json` was called on; raises StoreError, naming `path`, when it is damaged."""
        try:
            values = parse_json(written)
            version = int(values["format_version"])
            if version > FORMAT_VERSION:
                raise StoreError(
                    f"{path} has format version {version}, this batchgnn reads up to "
                    f"{FORMAT_VERSION}. Update: pip install --upgrade batchgnn"
                )
            if values.pop("checksum") != _digest(json.dumps(values)):
                raise damaged(path)
            files = [StateFile(**file) for file in values["files"]]
            return cls(values["fingerprint"], values["progress"], values["scalars"], files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path) from error


def part_path(folder: Path, epoch: int, step: int) -> Path:
    """Where a checkpoint is written before it has its name."""
    return folder / f"epoch-{epoch:06d}-step-{step:08d}.part"


def begin_checkpoint(part: Path) -> None:
    """Make the folder to write to; what killed jobs left half-written is removed.

    Raises StoreError when the disk is full.
    """
    with writing(part.parent):
        part.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(part.parent)
        part.mkdir()


def finish_checkpoint(part: Path, index: Index, keep: int) -> Path:
    """Give a folder, whose other files are written, its index and its name; the newest `keep` stay.

    Raises StoreError when a file is not there or the disk is full, ValueError when the ranks'
    files do not fit together.
    """
    require_fitting(index.files)
    for file in index.files:
        _require_seen(part / file.name, file.num_bytes)
    with atomic_file(part / INDEX) as beside:
        beside.write_text(index.to_json())
    _sync(part)
    path = part.with_suffix("")
    if path.exists():
        path.rename(path.with_suffix(".old"))
    part.rename(path)
    _sync(path.parent)
    _remove_leftovers(path.parent)
    for old in checkpoints_in(path.parent)[:-keep]:
        _remove(old)
    return path


def discard(part: Path) -> None:
    """Remove what could not be finished."""
    shutil.rmtree(part, ignore_errors=True)


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, in the order of training."""
    names = ((NAME.fullmatch(path.name), path) for path in folder.glob("epoch-*"))
    found = [(int(m[1]), int(m[2]), m[3] is None, path) for m, path in names if m]
    return [path for *_, path in sorted(found)]


def has_checkpoint(folder: Path) -> bool:
    """Whether a run was saved, be it by an older batchgnn."""
    return bool(checkpoints_in(folder)) or any(folder.glob("epoch-*.h5"))


def newest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run; raises StoreError when there is none that can be read."""
    if found := checkpoints_in(folder):
        return found[-1]
    if single := sorted(folder.glob("epoch-*.h5")):
        raise StoreError(
            f"{single[-1]} is a checkpoint of an older batchgnn (one file, format version 1), "
            f"which this one cannot resume: go on with the version that wrote it, or train anew "
            f"with another --run."
        )
    raise StoreError(
        f"{folder}: no checkpoint to resume from. Train without --resume and with another --run."
    )


def read_index(path: Path) -> Index:
    """What a checkpoint holds; raises StoreError when its index is missing or damaged."""
    index = path / INDEX
    if not index.is_file():
        raise missing(index)
    return Index.from_json(index.read_text(errors="replace"), index)


def refuse_other_shards(path: Path, found: str, fingerprint: str) -> None:
    """Raise StoreError when `path` was trained on shards of another fingerprint."""
    if found != fingerprint:
        raise StoreError(
            f"{path} was trained on shards {found[:12]}, not on these ({fingerprint[:12]}): "
            f"vertex numbers differ. Use the shard store that the run's config.toml names."
        )


def _require_seen(path: Path, num_bytes: int) -> None:
    if not path.is_file() or path.stat().st_size != num_bytes:
        raise StoreError(
            f"{path} was written by a rank, but is not seen by the first one: the run folder has "
            f"to be on a disk that all hosts share."
        )


def _remove_leftovers(folder: Path) -> None:
    """Old folders whose successor has its name, and half-written ones."""
    for path in folder.glob("epoch-*.old"):
        if path.with_suffix("").exists():
            _remove(path)
    for path in folder.glob("epoch-*.part"):
        discard(path)


def _remove(path: Path) -> None:
    """Nothing half removed keeps a final name."""
    discard(path.rename(path.with_name(f"{path.name}.part")))


def _sync(folder: Path) -> None:
    """Names in the folder are on the disk; some network file systems cannot promise it."""
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)


def _digest(written: str) -> str:
    return checksum(np.frombuffer(written.encode(), np.uint8))
