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

from batchgnn.base.errors import DataError
from batchgnn.data.arrays import Arrays, Header

READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
MAX_COLUMNS = 64
"Columns of an array in Fortran order that are read side by side; each decompresses the array."

SKIP_BYTES = 8 << 20

DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
"What a damaged or encrypted archive raises."


def read_npy_header(file: IO[bytes], where: str) -> Header:
    """(shape, whether Fortran order, dtype) of the .npy that `file` stands at the beginning of."""
    try:
        shape, fortran, dtype = READ_HEADER[npy.read_magic(file)](file)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: no array of numpy's .npy format ({error})") from error
    if dtype.hasobject:
        raise DataError(f"{where}: an array of Python objects; save it as numbers or fixed text")
    return shape, fortran, dtype


def skip(file: IO[bytes], num_bytes: int) -> None:
    """Read on without a seek, after which zipfile would not compare the checksum any more."""
    while num_bytes > 0:
        done = len(file.read(min(num_bytes, SKIP_BYTES)))
        if not done:
            raise EOFError("it ends early")
        num_bytes -= done


class NpzFile(Arrays):
    """An .npz archive opened for streaming; a context manager."""

    def __init__(self, path: str | os.PathLike):
        """Read the headers of all arrays; raises DataError when the file is no .npz."""
        self.path = Path(path)
        if not self.path.is_file():
            found = "is a folder" if self.path.is_dir() else "does not exist"
            raise DataError(f"{path} {found}: needed an .npz file")
        self.names: dict[str, str] = {}
        try:
            self.file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from error
        try:
            self.zip = zipfile.ZipFile(self.file)
        except (*DAMAGED, ValueError) as error:
            self.file.close()
            raise DataError(
                f"{path} is no .npz file, or truncated ({error}). Copy it again"
            ) from error
        try:
            self.header = {key: self._header(key) for key in self._entries()}
        except BaseException:
            self.__exit__()
            raise

    def _entries(self) -> list[str]:
        return [entry.removesuffix(".npy") for entry in self.zip.namelist()]

    def _header(self, key: str) -> Header:
        try:
            with self.zip.open(self._entry(key)) as file:
                return read_npy_header(file, f"{self.path}: {key}")
        except DAMAGED as error:
            raise self._damaged(key, error) from error

    def _entry(self, name: str) -> str:
        key = self.names.get(name, name)
        return f"{key}.npy" if f"{key}.npy" in self.zip.NameToInfo else key

    def _damaged(self, key: str, error: BaseException) -> DataError:
        return DataError(f"{self.path}: {key} is damaged ({error}). Copy the file again")

    def __enter__(self) -> "NpzFile":
        """The archive itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the archive, whatever is still reading it."""
        self.zip.close()
        self.file.close()

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
        end = shape[0] if end is None else end
        if fortran and len(shape) > 1:
            yield from self._rows_of_columns(key, chunk, begin, end)
            return
        width = int(np.prod(shape[1:]))
        if width == 0:
            for first in range(begin, end, chunk):
                yield np.empty((min(chunk, end - first), *shape[1:]), dtype)
            return
        for values in self._stream(key, dtype, begin * width, end * width, chunk * width):
            yield values.reshape(-1, *shape[1:])

    def _rows_of_columns(self, key: str, chunk: int, begin: int, end: int) -> Iterator[np.ndarray]:
        """As `rows`, of a matrix that lies column after column: each is read on its own."""
        shape, _, dtype = self.header[key]
        if len(shape) > 2 or shape[1] > MAX_COLUMNS:
            raise DataError(
                f"{self.path}: {key} is stored by columns (Fortran order) and cannot be streamed "
                f"by rows. Save it again with np.ascontiguousarray({key})"
            )
        firsts = range(0, shape[0] * shape[1], max(shape[0], 1))
        columns = [self._stream(key, dtype, f + begin, f + end, chunk) for f in firsts]
        for parts in zip(*columns, strict=True):
            yield np.stack(parts, axis=1)

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
        try:
            with self.zip.open(self._entry(key)) as file:
                read_npy_header(file, f"{self.path}: {key}")
                skip(file, begin * dtype.itemsize)
                while begin < end:
                    count = min(step, end - begin)
                    raw = file.read(count * dtype.itemsize)
                    if len(raw) < count * dtype.itemsize:
                        raise EOFError("it ends early")
                    yield np.frombuffer(raw, dtype)
                    begin += count
        except DAMAGED as error:
            raise self._damaged(key, error) from error
