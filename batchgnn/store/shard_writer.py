"""Writing shard files and their manifest; the layout is `shard_store`'s.

A shard file is created at its full size, with its disk space reserved, so that a full disk is an
error at once; its datasets are then filled through memory maps, in any order. Checksums are taken
from the finished files, and the fingerprint over all of them is stamped into every shard.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from batchgnn.store.format import (
    FORMAT_SHARD,
    FORMAT_SHARDS,
    checksum,
    create_aligned,
    create_store,
)
from batchgnn.store.schema import Schema
from batchgnn.store.seal import seal
from batchgnn.store.shard_check import sums_of
from batchgnn.store.shard_store import (
    ARRAYS,
    MANIFEST,
    Manifest,
    encode_attributes,
    shard_name,
)

NO_FINGERPRINT = "0" * 32


@dataclass(frozen=True)
class Draft:
    """A shard file of its full size whose datasets wait to be filled."""

    path: Path
    places: dict[str, tuple[int, np.dtype, tuple[int, ...]]]

    def open(self, name: str) -> np.ndarray:
        """A writable map of dataset `name`; what is written stays when the map is dropped."""
        offset, dtype, shape = self.places[name]
        if offset < 0:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype, "r+", offset, shape)

    def extents(self) -> list[tuple[int, int]]:
        """(first byte, number of bytes) of each dataset, (0, 0) of empty ones, and of the file."""
        data = [
            (offset, dtype.itemsize * math.prod(shape)) if offset >= 0 else (0, 0)
            for offset, dtype, shape in self.places.values()
        ]
        return [*data, (0, self.path.stat().st_size)]


def create_shard(
    folder: Path,
    schema: Schema,
    s: int,
    first_vertex: int,
    n: int,
    m_in: int,
    m_out: int = 0,
    num_events: int = 0,
    held_out: Sequence[int] = (0, 0),
) -> Draft:
    """Create shard s of n vertices, m_in in-arcs, (directed) m_out out-arcs, and more.

    num_events, held_out: as `Schema.layout` takes them
    Raises OSError when the disk has no room for it.
    """
    path = folder / shard_name(s)
    layout = schema.layout(n, m_in, m_out, num_events, held_out)
    with create_store(path, FORMAT_SHARD) as file:
        file.attrs["fingerprint"] = np.bytes_(NO_FINGERPRINT)
        file.attrs["shard"] = s
        file.attrs["num_vertices"] = n
        file.attrs["first_vertex"] = first_vertex
        places = {}
        for name, (dtype, shape) in layout.items():
            dataset = create_aligned(file, name, shape, dtype)
            offset = dataset.id.get_offset() if dataset.size else -1
            places[name] = (offset, dtype, shape)
    reserve(path)
    return Draft(path, places)


def reserve(path: Path) -> None:
    """Reserve the disk space of a sparse file, so that a map of it cannot meet a full disk."""
    size = path.stat().st_size
    if size:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def take_checksums(drafts: Sequence[Draft]) -> tuple[np.ndarray, np.ndarray]:
    """(K, num_datasets) checksums of all datasets and (num_datasets,) their names, as bytes."""
    names = list(drafts[0].places)
    rows = []
    for draft in drafts:
        with h5py.File(draft.path, "r", locking=False) as file:
            rows.append([checksum(file[name]) for name in names])
    return np.array(rows, "S"), np.array(names, "S")


def fingerprint_of(sums: np.ndarray, names: np.ndarray, offset: np.ndarray) -> str:
    """32 hexadecimal digits over all checksums, the names of the datasets and the offsets."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (sums.tolist(), names.tolist(), offset.tolist()):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def stamp(path: Path, fingerprint: str) -> None:
    """Write the fingerprint into a shard file, in place."""
    with h5py.File(path, "r+", locking=False) as file:
        file.attrs.modify("fingerprint", np.bytes_(fingerprint))


def take_sums(drafts: Sequence[Draft]) -> tuple[np.ndarray, np.ndarray]:
    """`Manifest.place` and `Manifest.fold` of finished, stamped files."""
    places = np.array([draft.extents() for draft in drafts], np.int64)
    sums = [sums_of(draft.path, each) for draft, each in zip(drafts, places, strict=True)]
    return places, np.array(sums, np.uint64)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.h5` into `folder`."""
    with create_store(folder / MANIFEST, FORMAT_SHARDS) as file:
        for name, value in encode_attributes(manifest).items():
            file.attrs[name] = value
        for name, attribute in ARRAYS.items():
            file[name] = getattr(manifest, attribute)
    seal(folder / MANIFEST)
