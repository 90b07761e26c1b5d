"""Arrays of an .npz archive, streamed out of the zip in chunks of rows rather than loaded whole."""

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from batchgnn.errors import DataError

READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


def read_npy_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether Fortran order, dtype) of the .npy that `file` stands at the beginning of."""
    try:
        shape, fortran, dtype = READ_HEADER[npy.read_magic(file)](file)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: no array of numpy's .npy format ({error})") from error
    if dtype.hasobject:
        raise DataError(f"{where}: an array of Python objects; save it as numbers or fixed text")
    return shape, fortran, dtype


class NpzFile:
    """An .npz archive opened for streaming; a context manager."""

    def __init__(self, path: str | os.PathLike):
        """Read the headers of all arrays; raises DataError when the file is no .npz."""
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{path} does not exist: needed an .npz file")
        try:
            self.zip = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise DataError(
                f"{path} is no .npz file, or truncated ({error}). Copy it again"
            ) from error
        self.header: dict[str, tuple[tuple[int, ...], bool, np.dtype]] = {}
        for entry in self.zip.namelist():
            with self.zip.open(entry) as file:
                key = entry.removesuffix(".npy")
                self.header[key] = read_npy_header(file, f"{path}: {key}")

    def __enter__(self) -> "NpzFile":
        """The archive itself."""
        return self

    def __exit__(self, *_exception) -> None:
        """Close the archive."""
        self.zip.close()

    def __contains__(self, key: str) -> bool:
        """Whether there is an array `key`."""
        return key in self.header

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of an array; raises DataError when it is missing."""
        if key not in self.header:
            raise DataError(
                f"{self.path}: there is no array {key}; found {', '.join(sorted(self.header))}"
            )
        return self.header[key][0]

    def dtype(self, key: str) -> np.dtype:
        """Dtype of an array."""
        self.shape(key)
        return self.header[key][2]

    def read(self, key: str) -> np.ndarray:
        """A small array, whole."""
        shape, fortran, dtype = self.header[key]
        values = self._stream(key, dtype, 0, int(np.prod(shape)), 1 << 62)
        flat = np.concatenate([np.empty(0, dtype), *values])
        return flat.reshape(shape, order="F" if fortran else "C")

    def rows(
        self, key: str, chunk: int, begin: int = 0, end: int | None = None
    ) -> Iterator[np.ndarray]:
        """(k, ...) with k <= chunk: rows begin .. end - 1 of an array, in order."""
        shape, fortran, dtype = self.header[key]
        if fortran and len(shape) > 1:
            raise DataError(
                f"{self.path}: {key} is stored by columns (Fortran order) and cannot be streamed "
                f"by rows. Save it again with np.ascontiguousarray({key})"
            )
        width = int(np.prod(shape[1:]))
        end = shape[0] if end is None else end
        if width == 0:
            for first in range(begin, end, chunk):
                yield np.empty((min(chunk, end - first), *shape[1:]), dtype)
            return
        for values in self._stream(key, dtype, begin * width, end * width, chunk * width):
            yield values.reshape(-1, *shape[1:])

    def pairs(self, key: str, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The two rows of a (2, E) array side by side, (k,) and (k,), in either storage order."""
        (_, num), fortran, dtype = self.header[key]
        if fortran:
            for values in self._stream(key, dtype, 0, 2 * num, 2 * chunk):
                yield values[::2], values[1::2]
        else:
            tops = self._stream(key, dtype, 0, num, chunk)
            yield from zip(tops, self._stream(key, dtype, num, 2 * num, chunk), strict=True)

    def _stream(
        self, key: str, dtype: np.dtype, begin: int, end: int, step: int
    ) -> Iterator[np.ndarray]:
        """Elements begin .. end - 1 of an array as it lies in the file, `step` at a time."""
        name = f"{key}.npy" if f"{key}.npy" in self.zip.NameToInfo else key
        try:
            with self.zip.open(name) as file:
                read_npy_header(file, f"{self.path}: {key}")
                if begin:
                    file.seek(begin * dtype.itemsize, os.SEEK_CUR)
                while begin < end:
                    count = min(step, end - begin)
                    raw = file.read(count * dtype.itemsize)
                    if len(raw) < count * dtype.itemsize:
                        raise EOFError("it ends early")
                    yield np.frombuffer(raw, dtype)
                    begin += count
        except DAMAGED as error:
            raise DataError(
                f"{self.path}: {key} is damaged ({error}). Copy the file again"
            ) from error
