"""What all HDF5 files of BatchGNN share: formats, alignment, checksums, safe reading and writing.

Datasets are contiguous and begin at a multiple of `ALIGNMENT` bytes, so that `np.memmap` reads
them in place. An output is written beside its place and renamed when it is whole; nothing is
overwritten, and nothing is left behind by a failure.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import StoreError
from batchgnn.base.refused import refused
from batchgnn.store.new_file import NewFile
from batchgnn.store.seal import BLOCK_BYTES

FORMAT_GRAPH = "batchgnn-graph"
FORMAT_SHARDS = "batchgnn-shards"
FORMAT_SHARD = "batchgnn-shard"
FORMAT_MODEL = "batchgnn-checkpoint"
VERSIONS = {
    FORMAT_GRAPH: (1, 5),
    FORMAT_SHARDS: (3, 5),
    FORMAT_SHARD: (2, 2),
    FORMAT_MODEL: (1, 2),
}
"Oldest version of a format that is read, and the newest, which is written; (1, 1) of all others."

SEALED = (FORMAT_GRAPH, FORMAT_SHARDS, FORMAT_MODEL)
"Formats whose files begin with a seal."

ALIGNMENT = 64
"Datasets begin at a multiple of this many bytes: a cache line, and the width of the widest vector."

DEEPEST = 8
"Groups within groups that a file may have."

BROKEN = (
    AttributeError, LookupError, MemoryError, OSError, OverflowError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"What h5py and NumPy raise over a damaged file."

CHECKSUM_CHUNK_BYTES = 16 << 20


def create_store(path: str | os.PathLike, format_name: str) -> NewFile:
    """A new file, which must not exist, with its format attributes and aligned datasets to be.

    Those of `SEALED` have room for a seal, which `seal` writes when they are closed.
    """
    block = BLOCK_BYTES if format_name in SEALED else None
    file = NewFile(path, ALIGNMENT, block)
    file.attrs["format"] = format_name
    file.attrs["format_version"] = VERSIONS.get(format_name, (1, 1))[1]
    return file


def create_aligned(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: DTypeLike
) -> h5py.Dataset:
    """A contiguous dataset with its place in the file fixed and nothing written yet.

    `file` comes from `create_store`. Groups on the way are made. An empty dataset has no place.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # the same data make the same file
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype(dtype), logical=True)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, properties, links))


def open_store(path: str | os.PathLike, wanted: str, what: str, make: str = "") -> h5py.File:
    """Open for reading and check the format.

    what  the kind of file, for messages: "graph store"
    make  the command that makes one, for messages

    Raises StoreError when the file is missing, truncated, no HDF5, of another format, newer, or
    older than what is read.
    """
    path, advice = Path(path), f". It is made by: {make}" if make else ""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise StoreError(f"{path} {found}: needed a {what}, an HDF5 file{advice}")
    try:
        file = h5py.File(path, "r", locking=False)  # files are written once, then renamed
    except PermissionError as error:
        raise StoreError(f"{path} may not be read by this user: chmod a+r {path}") from error
    except OSError as error:
        found = "truncated" if "truncated" in str(error) else "no HDF5 file, or damaged"
        size = f"{path.stat().st_size:,} bytes"
        raise StoreError(
            f"{path} is {found} ({size}): needed a {what}. Copy it again, or make it anew{advice}"
        ) from error
    try:
        check_format(file, wanted, what, make)
        if wanted != FORMAT_GRAPH:
            _check_own(file, file)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def parsing(path: str | os.PathLike, remedy: str) -> Iterator[None]:
    """A block that takes a file to pieces: what only damage can bring about is a StoreError."""
    try:
        yield
    except BROKEN as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise StoreError(f"{path} is damaged: {said}. {remedy}") from error


def check_format(file: h5py.File, wanted: str, what: str, make: str = "") -> None:
    """Raise StoreError unless the file's attributes say format `wanted`, in a version we read."""
    found, version = text(file.attrs.get("format", "")), _version(file)
    if found != wanted:
        has = f"its attribute `format` is {found!r}" if found else "it has no attribute `format`"
        raise StoreError(f"{file.filename} is no {what}: {has}, needed {wanted!r}")
    oldest, newest = VERSIONS.get(wanted, (1, 1))
    if version > newest:
        raise StoreError(
            f"{file.filename} has format version {version}, this batchgnn reads up to {newest}. "
            f"Update: pip install --upgrade batchgnn"
        )
    if version < oldest:
        raise StoreError(
            f"{file.filename} was made by an older version of batchgnn (format version {version}, "
            f"needed {oldest}). Make it again" + f": {make}" * bool(make)
        )


def _version(file: h5py.File) -> int:
    """Its `format_version`; 0 where there is none, or no number."""
    with contextlib.suppress(TypeError, ValueError):
        return int(file.attrs.get("format_version", 0))
    return 0


def _check_own(file: h5py.File, group: h5py.Group, depth: int = 0) -> None:
    """Raise StoreError when a name in the file stands for something outside of it.

    HDF5 follows links to other files, and reads bytes of other files, wherever these are. Only a
    graph store may have its features beside it, where its owner said so.
    """
    for name in group:
        link = group.get(name, getlink=True)
        own = isinstance(link, h5py.HardLink) and depth < DEEPEST
        item = group[name] if own else None
        if not own or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise StoreError(
                f"{file.filename}: {group.name.rstrip('/')}/{name} points out of the file, which "
                "is never followed. Take the file from where it was made"
            )
        if isinstance(item, h5py.Group):
            _check_own(file, item, depth + 1)


def text(value: object) -> str:
    """An attribute that is text: HDF5 gives bytes or str."""
    return value.decode() if isinstance(value, bytes) else str(value)


def whole(value: Any) -> int:
    """An attribute that is a whole number; raises TypeError when it is anything else."""
    if not isinstance(value, int | np.integer):
        raise TypeError(f"{value!r:.40} is no whole number")
    return int(value)


def map_dataset(file: h5py.File, name: str) -> np.ndarray:
    """A read-only `np.memmap` of a contiguous or external dataset; an empty array when it is empty.

    The map outlives the file handle. Raises StoreError when the dataset is missing or not
    contiguous, or the file that holds its bytes is missing or too short.
    """
    path = Path(file.filename)
    if not isinstance(file.get(name), h5py.Dataset):
        raise StoreError(f"{path}: dataset {name} is missing. Copy the file again, or make it anew")
    dataset = file[name]
    if dataset.size == 0:
        return np.empty(dataset.shape, dataset.dtype)
    offset = dataset.id.get_offset()
    if dataset.external:
        held, offset, _ = dataset.external[0]
        path = path.parent / held
    elif offset is None:
        raise StoreError(f"{path}: dataset {name} is not contiguous, so it cannot be mapped")
    if not path.is_file():
        raise StoreError(
            f"{file.filename}: dataset {name} is linked to {path}, which does not exist. "
            f"Put that file back, or convert again"
        )
    size, needed = path.stat().st_size, offset + dataset.size * dataset.dtype.itemsize
    if size < needed:
        raise StoreError(
            f"{path} is truncated: {size:,} bytes found, dataset {name} ends at byte {needed:,}. "
            f"Copy it again"
        )
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)


def checksum(array: np.ndarray | h5py.Dataset) -> str:
    """32 hexadecimal digits over the bytes of a C-ordered array, read in chunks of rows.

    BLAKE2b with a digest of 128 bits (`hashlib.blake2b`), about 1 GB/s a core. The same for an
    array, a map and a dataset; shape and dtype do not count.
    """
    digest = hashlib.blake2b(digest_size=16)
    if array.size:
        row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        step = max(CHECKSUM_CHUNK_BYTES // row_bytes, 1)
        for begin in range(0, len(array), step):
            rows = np.ascontiguousarray(array[begin : begin + step])
            digest.update(rows.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def refuse_existing(path: str | os.PathLike) -> None:
    """Raise StoreError when there is something at `path`."""
    if Path(path).exists() or Path(path).is_symlink():
        raise StoreError(f"{path} exists already: choose another name, or remove it first")


@contextmanager
def atomic_file(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to it when the block ends well, removed when not.

    Raises StoreError when `path` exists (unless `overwrite`), or when the disk is full.
    """
    with _beside(Path(path), overwrite) as beside:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """As `atomic_file`, for a folder: it exists, empty, when the block begins."""
    with _beside(Path(path), False) as beside:
        beside.mkdir()
        yield beside


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Raise StoreError, naming `path`, for what the operating system refuses in the block."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if said := refused(error, Path(path)):
            raise said from error
        raise


def make_folder_of(path: Path) -> None:
    """Make the folder that `path` is to be in; raises StoreError."""
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    except StoreError as error:
        if not isinstance(error.__cause__, FileExistsError | NotADirectoryError):
            raise
        raise StoreError(
            f"{path.parent} is no folder, so {path} cannot be written there"
        ) from error


@contextmanager
def _beside(path: Path, overwrite: bool) -> Iterator[Path]:
    with writing(path):
        if not overwrite:
            refuse_existing(path)
        missing = [each for each in path.parents if not each.exists()]
        make_folder_of(path)
        beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            yield beside
            if not overwrite:
                refuse_existing(path)
            beside.rename(path)
        except BaseException:
            _remove(beside)
            with contextlib.suppress(OSError):  # of another's files in it
                for each in missing:
                    each.rmdir()
            raise
        _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
