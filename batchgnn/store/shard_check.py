"""Shards looked at before they are trusted: every byte, in one pass, when a rank maps them.

Kernels walk what is mapped without looking at bounds, so a damaged index would be a crash, and a
damaged number a wrong result. The manifest has a sum of each dataset, and of the file's other
bytes, which are checked before HDF5 parses them.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.kernels.fold import fold
from batchgnn.kernels.half import as_floats
from batchgnn.store.labels import in_range

CHUNK_BYTES = 4 << 20
BYTES_A_SECOND = 1.5e9
"That a core looks at; for plans."
WORD = 8
RESTORE = "Copy the whole folder again, or partition the graph store again: batchgnn partition"

Places = np.ndarray
"int64 (num_datasets + 1, 2): first byte and number of bytes of each dataset, then of the file."


class Fold:
    """The sum of some bytes of a file, read through one small buffer: nothing stays in memory."""

    def __init__(self, file: BinaryIO, digest: "hashlib.blake2b | None" = None):
        """file: open for reading, unbuffered; digest: gets the same bytes."""
        self.file, self.total, self.num_words, self.digest = file, np.uint64(0), 0, digest
        self.buffer = np.empty(CHUNK_BYTES, np.uint8)

    def add(self, begin: int, size: int) -> None:
        """Go on with bytes begin : begin + size, filled up to whole words."""
        self.file.seek(begin)
        while size > 0:
            got = self.file.readinto(self.buffer[: min(size, CHUNK_BYTES)])  # type: ignore[attr-defined]
            if not got:
                self.total = ~self.total  # cut short: never equal
                return
            size -= got
            if self.digest is not None:
                self.digest.update(self.buffer[:got].data)
            whole = -(-got // WORD) * WORD
            self.buffer[got:whole] = 0
            words = self.buffer[:whole].view(np.uint64)
            self.total = np.uint64(fold(words, np.uint64(self.num_words), self.total))
            self.num_words += len(words)


def sums_of(path: Path, places: Places) -> np.ndarray:
    """uint64 (num_datasets + 1,): the sum of each dataset, then of all other bytes of the file."""
    with path.open("rb", buffering=0) as file:
        sums = []
        for begin, size in places[:-1].tolist():
            each = Fold(file)
            each.add(begin, size)
            sums.append(each.total)
        return np.array([*sums, _frame(file, path, places)], np.uint64)


def check_frame(path: Path, s: int, places: np.ndarray, sums: np.ndarray, fingerprint: str) -> None:
    """Raise StoreError unless all but the datasets of shard s is as it was written.

    places, sums: of all shards
    """
    size, needed = path.stat().st_size, int(places[s, -1, 1])
    with path.open("rb", buffering=0) as file:
        if size == needed and _frame(file, path, places[s]) == sums[s, -1]:
            return
        inside = _outside_bytes(file, path, places[s])
        others = (k for k in range(len(sums)) if _frame(file, path, places[k]) == sums[k, -1])
        other = next(others, s)
    of = [found.decode() for found in re.findall(rb"[0-9a-f]{32}", inside)]
    if of and fingerprint not in of:
        said = (
            f"belongs to another partitioning: its fingerprint is {of[0]}, that of the manifest "
            f"is {fingerprint}"
        )
    elif size < needed:
        said = f"is truncated: {size:,} bytes found, needed {needed:,}"
    elif other != s:
        said = f"holds shard {other}, not {s}"
    else:
        said = "is damaged: what describes its datasets is not what was written"
    raise StoreError(f"{path} {said}. {RESTORE}")


def _outside(path: Path, places: Places) -> Iterator[tuple[int, int]]:
    """(first byte, number of bytes) of the pieces between datasets."""
    end, data = 0, places[:-1]
    for begin, size in sorted(map(tuple, data[data[:, 1] > 0].tolist())):
        yield end, begin - end
        end = begin + size
    yield end, path.stat().st_size - end


def _outside_bytes(file: BinaryIO, path: Path, places: Places) -> bytes:
    found = []
    for begin, size in _outside(path, places):
        file.seek(begin)
        found.append(file.read(max(0, size)))
    return b"\n".join(found)


def _frame(file: BinaryIO, path: Path, places: Places) -> np.uint64:
    each = Fold(file)
    for begin, size in _outside(path, places):
        each.add(begin, size)
    return each.total


def check_datasets(path: Path, names: list[str], places: Places, sums: np.ndarray) -> list[str]:
    """Names of the datasets whose bytes are not those that were written."""
    found = sums_of(path, places)
    return [name for name, was, now in zip(names, sums, found, strict=False) if was != now]


def first_bad_row(
    name: str, array: np.ndarray, *, num_vertices: int, task: str, num_classes: int
) -> str:
    """`row 5 is 1000000000` of a damaged dataset, where a value cannot be; else empty."""
    kind = name.rpartition("/")[2]
    rows = array.reshape(len(array), -1)
    good: np.ndarray
    if kind == "indptr":
        rises = np.logical_and(array[1:] >= array[:-1], array[1:] >= 0)
        good = np.concatenate([np.equal(array[:1], 0), rises])
    elif kind in ("indices", "original_id", "source", "target", "val", "test"):
        good = np.all(np.logical_and(rows >= 0, rows < num_vertices), axis=1)
    elif kind == "split":
        good = np.all(rows <= 3, axis=1)
    elif name == "event/label":
        good = np.greater_equal(array, -1)
    elif kind == "label":
        good = np.all(in_range(task, rows, num_classes), axis=1)
    elif name.startswith("degree/"):
        good = np.greater_equal(array, 0)
    elif kind in ("features", "weight", "time"):
        good = np.all(np.isfinite(as_floats(rows)), axis=1)
    else:
        return ""
    if good.all():
        return ""
    row = int(np.argmin(good))
    values = np.asarray(as_floats(rows[row : row + 1]) if kind == "features" else rows[row])
    said = ", ".join(str(value) for value in np.ravel(values)[:3])
    return f"row {row:,} is {said}" if rows.shape[1] == 1 else f"row {row:,} has a bad value"
