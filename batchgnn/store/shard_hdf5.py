"""HDF5 helpers of the shard store: aligned datasets, checksums, clear errors on opening."""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from batchgnn.errors import StoreError

PIECE = 8 << 20
FORMAT_SHARDS, FORMAT_SHARD, FORMAT_VERSION = "batchgnn-shards", "batchgnn-shard", 1


def create_aligned(file: h5py.File, name: str, shape: tuple[int, ...], dtype) -> h5py.Dataset:
    """A contiguous dataset with its place in the file fixed and nothing written yet."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype(dtype), logical=True)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, properties, links))


def checksum(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """32 hexadecimal digits over the bytes of a contiguous dataset, read piece by piece."""
    digest, left = hashlib.blake2b(digest_size=16), dtype.itemsize * int(np.prod(shape))
    with path.open("rb") as file:
        file.seek(max(offset, 0))
        while left:
            piece = file.read(min(left, PIECE))
            if not piece:
                break
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def open_store(path: Path, wanted: str, what: str) -> h5py.File:
    """Open for reading; raises StoreError when the file is damaged, of another kind or newer."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        cut = "truncated" if "truncated" in str(error) else "no HDF5 file, or damaged"
        raise StoreError(
            f"{path} is {cut} ({path.stat().st_size:,} bytes): needed a {what}. Copy it again"
        ) from error
    found, version = file.attrs.get("format", "nothing"), int(file.attrs.get("format_version", 0))
    found = found.decode() if isinstance(found, bytes) else found
    if found != wanted:
        file.close()
        raise StoreError(
            f"{path} is no {what}: its attribute format is {found!r}, needed {wanted!r}"
        )
    if version > FORMAT_VERSION:
        file.close()
        raise StoreError(
            f"{path} has format version {version}, this batchgnn reads up to {FORMAT_VERSION}. "
            f"Update: pip install --upgrade batchgnn"
        )
    return file
